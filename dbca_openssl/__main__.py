"""`python -m dbca_openssl` is the command `dbca-openssl`."""

from dbca_openssl.cli.main import main

if __name__ == "__main__":
    main()
