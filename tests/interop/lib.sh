# What the tests with independent peers have in common, to be sourced after lab/lib.sh and lab/network.sh. Two tenants with
# the same addresses have a machine each on host-1, which is netvirt's, and on host-2, which is the peer's:
#
#   far MACHINE COMMAND...      is the peer's: runs a command in one of its machines
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154

hosts="host-1 host-2"
machines="blue-1 blue-2 red-1 red-2 red-4"
pings=50

rows=()
# saw WHAT SEEN [EXPECTED]
saw() {
    rows+=("| $peer | $1 | $2 |")
    [[ $# == 2 || $2 == "$3" ]] || wrong "$peer: $1: $2, not $3"
}

print_rows() {
    printf '\n| peer | what | seen |\n|---|---|---|\n'
    printf '%s\n' "${rows[@]}"
}

# The machines of both hosts talk in all ways, and every frame of it is judged.
exchange() {
    local tenant
    for tenant in blue red; do
        await_answer "$tenant-1" "$(ipv4_of "$tenant-2")"
        await_answer "$tenant-1" "$(ipv6_of "$tenant-2")"
    done
    capture_begin
    for tenant in blue red; do
        saw "$tenant: pings, IPv4" "$(echoes near "$tenant-1" "$(ipv4_of "$tenant-2")") out, $(echoes far "$tenant-2" "$(ipv4_of "$tenant-1")") in" \
            "$pings/$pings out, $pings/$pings in"
        saw "$tenant: pings, IPv6" "$(echoes near "$tenant-1" "$(ipv6_of "$tenant-2")") out, $(echoes far "$tenant-2" "$(ipv6_of "$tenant-1")") in" \
            "$pings/$pings out, $pings/$pings in"
    done
    transfers
    capture_judge
    # Of the capture nothing may be missing, so this is not in it.
    saw "TCP, Mbit/s" "$(rate "$(ipv4_of blue-1)" --reverse) out, $(rate "$(ipv4_of blue-1)") in"
    saw "pings to the other tenant" "$(echoes far blue-2 "$(ipv4_of red-4)" -c 3 -W 0.2)" 0/3
}

# Namespaces of the machines of host-1.
near_machines() {
    local machine
    for machine in blue-1 red-1 red-4; do
        machine "$machine"
    done
}

# introduce MACHINE: to those of host-1. ARP and neighbour discovery do not cross, hosts of HNV answer them themselves; the
# peer is none, so that its machines are told what netvirt's would have answered.
introduce() {
    local machine address
    for machine in blue-1 red-1 red-4; do
        for address in "$(ipv4_of "$machine")" "$(ipv6_of "$machine")"; do
            [[ $(tenant "$machine") != "$(tenant "$1")" && $machine != red-4 ]] ||
                far "$1" ip neighbour add "$address" lladdr "$(machine_mac "$machine")" dev eth0
        done
    done
}

# await_answer MACHINE ADDRESS: the peer may take a while to notice its own addresses and tunnels.
await_answer() {
    local try
    for try in $(seq 30); do
        ! near "$1" ping -n -q -c 1 -W 1 "$2" >/dev/null || return 0
    done
    fail "$peer: no answer to $1 from $2 in $try tries"
}

near() {
    inside "$@"
}

# echoes near|far MACHINE ADDRESS [OPTION...]: answered of sent.
echoes() {
    local side=$1 machine=$2 address=$3
    shift 3
    { "$side" "$machine" ping -n -q -i 0.01 -c $pings -s 1300 "$@" "$address" || true; } |
        sed -nE 's/^([0-9]+) packets transmitted, ([0-9]+) received.*/\2\/\1/p'
}

# TCP and UDP of both tenants and IP versions, in both directions.
transfers() {
    local tenant address options
    for tenant in blue red; do
        for address in "$(ipv4_of "$tenant-1")" "$(ipv6_of "$tenant-1")"; do
            for options in "-n 1M" "-n 1M --reverse" "-n 500K -u -b 20M -l 1000" "-n 500K -u -b 20M -l 1000 --reverse"; do
                # shellcheck disable=SC2086 # some words
                iperf "$tenant" "$address" $options || wrong "$peer: iperf3 $options to $address of $tenant"
            done
        done
    done
}

# iperf TENANT ADDRESS OPTION...: from the peer's machine to netvirt's; with --reverse the data go the other way.
iperf() {
    local tenant=$1 address=$2 status=0
    shift 2
    start iperf3 "Server listening" ip netns exec "$(ns "$tenant-1")" iperf3 --server --one-off --forceflush
    far "$tenant-2" timeout 60 iperf3 --client "$address" --format m "$@" >"$lab_directory/iperf3-client.log" || status=$?
    stop iperf3 || true
    return $status
}

# rate ADDRESS OPTION...: of one stream of TCP, in Mbit/s.
rate() {
    iperf blue "$@" --time 2 || wrong "$peer: iperf3 $*"
    awk '$NF == "receiver" { print $7 }' "$lab_directory/iperf3-client.log"
}

# ---- The wire ----

capture_begin() {
    start capture File: ip netns exec "$(ns wire)" \
        bash -c 'exec dumpcap -q -B 64 -i host-1 -w "$1" 2>&1' dumpcap "$lab_directory/wire.pcapng"
}

# tshark knows both ends' GRE and judges every frame of them.
capture_judge() {
    stop capture INT || fail "dumpcap ended with status $?"
    tests/dissect "$lab_directory/wire.pcapng" >"$lab_directory/frames"
    tests/lab/judge-wire "$(host_address host-1) $(host_address host-2)" "" "" "" \
        "$(printf '0x%06x ' "${vsid[blue]}" "${vsid[red]}")" <"$lab_directory/frames" || wrong "$peer: frames on the wire"
    saw "frames that tshark judged" "$(wc -l <"$lab_directory/frames")"
}
