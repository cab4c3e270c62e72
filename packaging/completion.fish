# SPDX-License-Identifier: MIT
# fish completion of mirrord. Commands and options are read off its --help, so that they are always right.

set -g __mirrord_kinds pod deployment rollout statefulset daemonset replicaset job cronjob service

# The targets of a kind, by the options that are on the line already.
function __mirrord_in_cluster -a kind
    set -l words (commandline -opc)
    set -l options
    for i in (seq 2 (math (count $words) - 1))
        switch $words[$i]
            case -n --target-namespace
                set -a options -n $words[(math $i + 1)]
            case --context -f --config-file
                set -a options $words[$i] $words[(math $i + 1)]
        end
    end
    $words[1] ls -t $kind $options 2>/dev/null
end

function __mirrord_targets
    set -l word (commandline -ct)
    set -l kind (string split -m 1 / -- $word)[1]
    switch $word
        case 'pid/*'
            string match -r '^\d+$' (string replace /proc/ '' /proc/*) | string replace -r '^' pid/
        case 'netns/*'
            set -l all /run/netns/*
            string replace /run/ '' $all
        case 'docker/*' 'podman/*'
            $kind ps --format "$kind/{{.Names}}" 2>/dev/null
        case '*/*'
            contains -- $kind $__mirrord_kinds; and __mirrord_in_cluster $kind
        case '*'
            printf '%s/\n' pid netns docker podman label $__mirrord_kinds
            echo targetless
    end
end

function __mirrord_commands
    mirrord --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\)  *\(.*\)/\1\t\2/p'
end

function __mirrord_options
    set -l words (commandline -opc)
    $words[1] $words[2] --help 2>/dev/null | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p'
end

function __mirrord_at_program
    contains -- -- (commandline -opc)
end

complete -c mirrord -f
complete -c mirrord -n __fish_use_subcommand -a '(__mirrord_commands)'
complete -c mirrord -n 'not __fish_use_subcommand; and not __mirrord_at_program' -a '(__mirrord_options)'
complete -c mirrord -n 'not __fish_use_subcommand; and not __mirrord_at_program' -s t -l target -x -a '(__mirrord_targets)'
complete -c mirrord -n 'not __fish_use_subcommand; and not __mirrord_at_program' -s f -l config-file -r -F
complete -c mirrord -n 'not __fish_use_subcommand; and not __mirrord_at_program' -l log-file -r -F
complete -c mirrord -n 'not __fish_use_subcommand; and not __mirrord_at_program' -l env-file -r -F
complete -c mirrord -n __mirrord_at_program -a '(__fish_complete_subcommand)'
