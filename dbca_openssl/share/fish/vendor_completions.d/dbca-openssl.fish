# fish completion of dbca-openssl: the command itself says what may come next.

function __dbca_openssl_complete
    set -l words (commandline -opc)
    set -l word (string trim -l -c '"\'' -- (commandline -ct))
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    command -q $program; or return
    set -l answer (command $program __complete fish $words[2..-1] "$word" 2>/dev/null)
    set -l flag (string match -r '^--[^=]*=' -- $word) # a path behind --ca= is completed without it
    set -l path (string replace -- "$flag" '' $word)
    switch "$answer[1]"
        case files
            printf "$flag%s\n" (__fish_complete_path $path)
        case directories
            printf "$flag%s\n" (__fish_complete_directories $path)
        case words
            printf '%s\n' $answer[2..-1]
    end
end

complete -c dbca-openssl -f -k -a '(__dbca_openssl_complete)'
