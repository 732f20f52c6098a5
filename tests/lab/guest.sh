# A guest with a Linux kernel of its own (user-mode Linux), to be sourced after lib.sh: for what the kernel of the machine
# that runs the test may lack, such as GRE and the actions of tc. Its files are those of the machine, for reading only.
#
#   guest_begin peer wire "vec0:transport=tap,ifname=host-2,mtu=1600"
#   guest_await peer
#   guest peer ip address add 192.168.4.12/24 dev vec0
#   guest_stop peer
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154

declare -A guest_in=() guest_out=()
guest_packages="user-mode-linux kmod"

# guest_begin NAME PLACE NIC...: boots it in the namespace of a place; it takes some three seconds. Its network cards are
# those of the kernel's vector driver.
guest_begin() {
    local name=$1 place=$2 file=$lab_directory/guest-$1 in out
    shift 2
    mkfifo "$file.in" "$file.out"
    (TMPDIR=/dev/shm exec ip netns exec "$(ns "$place")" linux.uml mem=256M umid="$(ns "$name")" uml_dir="$lab_directory/uml" \
        root=/dev/root rootfstype=hostfs rootflags=/ ro loglevel=0 con=null con0=fd:0,fd:1 "$@" init="$PWD/tests/lab/guest" \
        <"$file.in" >"$file.out" 2>>"$lab_directory/guest-$name.log") &
    process[guest-$name]=$!
    exec {in}>"$file.in" {out}<"$file.out"
    rm "$file.in" "$file.out"
    guest_in[$name]=$in
    guest_out[$name]=$out
}

# guest_await NAME: until it takes commands.
guest_await() {
    wait_for_line "guest-$1" ready "${guest_out[$1]}"
}

# guest NAME COMMAND...: prints what the command prints; its status is that of the function.
guest() {
    local name=$1 line
    shift
    printf '%s\n' "$*" >&"${guest_in[$name]}"
    while IFS= read -r -t 120 -u "${guest_out[$name]}" line; do
        case $line in
            "status "*) return "${line#status }" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done
    fail "the guest $name does not answer: $*"
}

# guest_modules NAME MODULE...: loads modules of its kernel.
guest_modules() {
    local name=$1
    shift
    guest "$name" modprobe -d /run/modules -a "$@"
}

# guest_stop NAME: switches it off.
guest_stop() {
    local in=${guest_in[$1]} out=${guest_out[$1]}
    echo 'echo o >/proc/sysrq-trigger' >&"$in"
    timeout 20 tail --pid="${process[guest-$1]}" --sleep-interval=0.01 --follow /dev/null || kill -KILL "${process[guest-$1]}"
    exec {in}>&- {out}<&-
    wait "${process[guest-$1]}" || true
    unset "process[guest-$1]" "guest_in[$1]" "guest_out[$1]"
}
