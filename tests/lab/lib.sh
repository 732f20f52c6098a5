# Functions for the whole-system tests, to be sourced from the project's root: hosts, machines and routers as network
# namespaces, programs in them, and the ledger. Everything that is made carries the test's process id in its name
# and is removed when the test ends, however it ends.
#
#   source tests/lab/lib.sh
#   lab_begin iperf3
#   wire; host host-1 02:00:00:00:00:01; machine blue-1; …
# shellcheck shell=bash

declare -A process=()              # names of what was started, and their process ids
declare -A output=()               # where what they print is read, until they have said what is awaited
wire_mtu=1600                      # room for NVGRE over IPv6 around a packet of 1500 bytes
failures=0

# ---- Beginning and end ----

# Installs what the test needs, builds the programs, and sees to it that nothing is left behind.
# shellcheck disable=SC2120 # the packages may be none
lab_begin() {
    tests/install iproute2 iputils-ping procps ethtool "$@"
    lab=${LAB_NAME:-netvirt}-$$
    lab_directory=$(mktemp -d)
    trap lab_end EXIT
    trap 'exit 130' INT TERM HUP PIPE
    local why
    why=$(forbidden) || skip "$why"
    cargo build --release --locked --quiet --package netvirt-std --package netvirt-lab
    programs=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
    netvirt=$programs/netvirt
}

# Whether namespaces and TAPs may be made here; if not, says what is missing.
forbidden() {
    [[ $EUID == 0 ]] || { echo "needs root, for network namespaces"; return 1; }
    [[ -c /dev/net/tun ]] || { echo "needs /dev/net/tun"; return 1; }
    ip netns add "$(ns probe)" 2>/dev/null || { echo "may not make network namespaces here"; return 1; }
    ip -n "$(ns probe)" tuntap add dev tap0 mode tap 2>/dev/null || { echo "may not make TAPs here"; return 1; }
    ip netns delete "$(ns probe)"
}

skip() {
    echo "$1" | tee "${SKIP_REASON:-/dev/null}" >&2
    exit 77
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# Something is wrong, but the rest is worth looking at; the test ends with `verdict`.
wrong() {
    echo "WRONG: $*" >&2
    failures=$((failures + 1))
}

verdict() {
    [[ $failures == 0 ]] || fail "$failures of the expectations above"
}

lab_end() {
    local status=$? log
    # Nothing stops it, not even that nobody listens any more.
    trap '' INT TERM HUP PIPE
    set +e
    # It may have been emptied for a `read` that was interrupted.
    IFS=$' \t\n'
    if [[ $status != 0 && $status != 77 ]]; then
        for log in "$lab_directory"/*.log; do
            [[ ! -s $log ]] || { echo "--- ${log##*/}"; tail -n 20 "$log"; } >&2
        done
    fi
    clear_away
    rm -rf "$lab_directory"
}

# Ends all programs and removes all namespaces, so that another network can be built.
clear_away() {
    local name namespace
    for name in "${!process[@]}"; do
        kill -KILL "${process[$name]}" 2>/dev/null || true
        wait "${process[$name]}" 2>/dev/null || true
    done
    process=()
    for namespace in $(ip netns list 2>/dev/null | awk -v lab="$lab-" 'index($1, lab) == 1 { print $1 }'); do
        ip netns pids "$namespace" | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
        ip netns delete "$namespace"
    done
}

# ---- Programs ----

# start NAME LINE COMMAND...: starts a program and waits until it prints a line that begins with LINE.
start() {
    local name=$1 expected=$2
    shift 2
    begin "$name" "$@"
    await "$name" "$expected"
}

# begin NAME COMMAND...: starts a program, for which `await` is to be called.
begin() {
    local name=$1 file=$lab_directory/$1.out reader
    shift
    rm -f "$file"
    mkfifo "$file"
    (exec "$@" </dev/null >"$file" 2>>"$lab_directory/$name.log") &
    process[$name]=$!
    exec {reader}<"$file"
    output[$name]=$reader
}

# await NAME LINE: waits until the program prints a line that begins with LINE.
await() {
    local name=$1 reader=${output[$1]}
    wait_for_line "$name" "$2" "$reader"
    # Whatever it says later must not fill the pipe.
    cat <&"$reader" >>"$lab_directory/$name.log" &
    exec {reader}<&-
    unset "output[$name]"
}

wait_for_line() {
    local name=$1 expected=$2 reader=$3 line
    while IFS= read -r -t 60 -u "$reader" line; do
        [[ $line != "$expected"* ]] || return 0
    done
    fail "$name did not say '$expected': $(tail -n 5 "$lab_directory/$name.log")"
}

# stop NAME [SIGNAL]: ends a program in its own way; its exit status is that of the function.
stop() {
    local pid=${process[$1]} status=0
    kill "-${2:-TERM}" "$pid" 2>/dev/null || true
    timeout 20 tail --pid="$pid" --sleep-interval=0.01 --follow /dev/null || kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" || status=$?
    unset "process[$1]"
    return "$status"
}

# CPU seconds that the programs named have used so far.
cpu_seconds() {
    local name stat ticks=0
    for name; do
        stat=$(<"/proc/${process[$name]}/stat")
        # The name of the program, in parentheses, may contain anything.
        read -r -a stat <<<"${stat##*) }"
        ticks=$((ticks + stat[11] + stat[12]))
    done
    awk -v ticks="$ticks" -v hertz="$(getconf CLK_TCK)" 'BEGIN { print ticks / hertz }'
}

# ---- Namespaces ----

# The network namespace of a host, a machine, the wire or a router.
ns() {
    echo "$lab-$1"
}

inside() {
    local name=$1
    shift
    ip netns exec "$(ns "$name")" "$@"
}

# A namespace whose interfaces have no IPv6 address but those they are given.
namespace() {
    local namespace
    namespace=$(ns "$1")
    ip netns add "$namespace"
    ip -n "$namespace" link set lo up
    inside "$1" sysctl --quiet --write net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0 \
        net.ipv6.conf.default.router_solicitations=0
}

# The network between the hosts: a bridge that knows nothing of netvirt.
wire() {
    namespace wire
    inside wire sysctl --quiet --write net.ipv6.conf.default.disable_ipv6=1
    ip -n "$(ns wire)" link add wire type bridge mcast_snooping 0
    # IP filters of the machine that runs the test are none of the wire's business.
    inside wire sysctl --quiet --ignore --write net.bridge.bridge-nf-call-iptables=0 \
        net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-arptables=0
    ip -n "$(ns wire)" link set wire mtu "$wire_mtu" up
}

# host NAME MAC: a host with the uplink u0 on the wire. The kernel has no address there, netvirt does.
host() {
    namespace "$1"
    inside "$1" sysctl --quiet --write net.ipv6.conf.default.disable_ipv6=1
    uplink "$1" "$2"
}

# uplink HOST MAC
uplink() {
    ip -n "$(ns "$1")" link add u0 address "$2" mtu "$wire_mtu" type veth peer name "$1" netns "$(ns wire)"
    ip -n "$(ns wire)" link set "$1" mtu "$wire_mtu" master wire up
    ip -n "$(ns "$1")" link set u0 up
}

# machine NAME: a virtual machine, in which the switch will make eth0.
machine() {
    namespace "$1"
}

# container NAME HOST MAC: a container with eth0, whose other end is on the host under its name. Super-frames are not for
# packet sockets.
container() {
    namespace "$1"
    ip -n "$(ns "$1")" link add eth0 address "$3" type veth peer name "$1" netns "$(ns "$2")"
    inside "$1" ethtool --features eth0 tso off gso off >/dev/null
    ip -n "$(ns "$1")" link set eth0 up
    ip -n "$(ns "$2")" link set "$1" up
}

# addresses MACHINE ADDRESS/LENGTH...: gives eth0 its addresses, and routes by the second address of each prefix.
addresses() {
    local name=$1 address
    shift
    for address; do
        ip -n "$(ns "$name")" address add "$address" dev eth0
        ip -n "$(ns "$name")" route add default via "$(gateway "$address")" dev eth0
    done
}

# The gateway of an address, of which the last part is the machine.
gateway() {
    case $1 in
        *:*) echo "${1%::*}::1" ;;
        *) echo "${1%.*}.1" ;;
    esac
}

# router VLAN=ADDRESS/LENGTH[,ADDRESS/LENGTH]...: a Linux router with a leg in each VLAN of the wire.
router() {
    local leg vlan address legs=()
    namespace router
    inside router sysctl --quiet --write net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    for leg; do
        legs+=("$(ns router),vlan${leg%%=*},${leg%%=*}")
    done
    start router ready "$programs/vlan-trunk" "$(ns wire),router" "${legs[@]}"
    ip -n "$(ns wire)" link set router mtu "$wire_mtu" master wire up
    for leg; do
        vlan=${leg%%=*}
        ip -n "$(ns router)" link set "vlan$vlan" mtu "$wire_mtu" up
        for address in $(tr , ' ' <<<"${leg#*=}"); do
            ip -n "$(ns router)" address add "$address" dev "vlan$vlan"
        done
    done
}

# ---- The switch ----

control() {
    echo "$lab_directory/$1.sock"
}

# switch_start HOST POLICY [OPTION...]: returns when it carries traffic.
switch_start() {
    switch_begin "$@"
    switch_await "$1"
}

switch_begin() {
    local host=$1 policy=$2
    shift 2
    begin "switch-$host" ip netns exec "$(ns "$host")" "$netvirt" switch --policy "$policy" --host "$host" \
        --control "$(control "$host")" "$@"
}

switch_await() {
    await "switch-$1" ready
}

switch_stop() {
    stop "switch-$1" || fail "the switch of $1 ended with status $?"
}

# apply POLICY HOST...: prepares all hosts, then commits them in the order given.
apply() {
    local policy=$1 host options=()
    shift
    for host; do
        options+=(--hosts "$lab_directory/$host.sock")
    done
    "$netvirt" apply "${options[@]}" -- "$policy"
}

# status HOST FIELD
status() {
    "$netvirt" show status --control "$(control "$1")" --json | sed -nE "s/.*\"$2\": *\"?([^\",}]*).*/\1/p" | head -n 1
}

# ---- The ledger ----

# ledger_start OPTION...: sends at once; the phase `start` has begun.
ledger_start() {
    mkfifo "$lab_directory/ledger.in" "$lab_directory/ledger.out"
    ("$programs/ledger" "$@" <"$lab_directory/ledger.in" >"$lab_directory/ledger.out" 2>>"$lab_directory/ledger.log") &
    process[ledger]=$!
    exec {ledger_in}>"$lab_directory/ledger.in" {ledger_out}<"$lab_directory/ledger.out"
    wait_for_line ledger ready "$ledger_out"
}

# ledger_say COMMAND...: returns when it is carried out.
ledger_say() {
    local line
    printf '%s\n' "$*" >&"$ledger_in"
    while IFS= read -r -t 300 -u "$ledger_out" line; do
        case $line in
            "ok "*) return 0 ;;
            *) fail "the ledger says: $line" ;;
        esac
    done
    fail "the ledger does not answer"
}

# Ends it, prints its account, also to the file `ledger`, and says whether all went as it must.
ledger_end() {
    local status=0
    ledger_say stop
    exec {ledger_in}>&-
    tee "$lab_directory/ledger" <&"$ledger_out"
    exec {ledger_out}<&-
    wait "${process[ledger]}" || status=$?
    unset 'process[ledger]'
    rm "$lab_directory/ledger.in" "$lab_directory/ledger.out"
    cat "$lab_directory/ledger.log"
    return "$status"
}
