#!/bin/sh
# demo.sh DBCA-OPENSSL DIRECTORY: an authority for example.net and certificates for three hosts, each verified by openssl.
set -eu
case $1 in /*) tool=$1 ;; *) tool=$PWD/$1 ;; esac
mkdir "$2"
cd "$2"

say() { printf '\n\033[1m$ %s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed "s/$(printf '\033')\[[0-9]*m//g"; fi; }
dbca() { say "dbca-openssl $*"; "$tool" "$@"; }

dbca init --organization example.net --no-passphrase
for host in aiken margaret gannibal; do
    dbca request "$host.example.net" --ssl-dir "hosts/$host/etc/mysql/ssl" >/dev/null
    cp "hosts/$host/etc/mysql/ssl/$host.example.net.req.pem" database-ca/certreqs/
done
dbca sign aiken.example.net margaret.example.net gannibal.example.net --yes 2>/dev/null

say "openssl verify -crl_check ...  # each, against the authority and its revocation list"
for host in aiken margaret gannibal; do
    openssl verify -x509_strict -crl_check -CAfile database-ca/database-ca.cert.pem \
        -CRLfile database-ca/crl/database-ca.crl -verify_hostname "$host.example.net" \
        "database-ca/certs/$host.example.net.cert.pem"
done

say "ls -R"
find . -name '.*' ! -name . -prune -o -type f -print | LC_ALL=C sort
cat <<TEXT

This authority has no pass phrase: it is a demonstration. Go on with it:
  PATH=${tool%/*}:\$PATH; cd $2
  dbca-openssl            # what there is, and what to do next
  dbca-openssl list
  dbca-openssl show aiken.example.net
or make one for good on a secure device:
  dbca-openssl init --organization NAME
TEXT
