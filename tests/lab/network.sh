# The network of most whole-system tests and its policy file, to be sourced after lib.sh. Two tenants, blue and red, have
# the same addresses, a machine of each on every host; red-4 and blue-4 have addresses that the other tenant lacks.
# blue-5 is alone in a second subnet. blue-4 is a container behind a veth pair, the others have TAPs.
# shellcheck shell=bash
# shellcheck disable=SC2154

hosts="host-1 host-2 host-3"
machines="blue-1 blue-2 blue-3 blue-4 blue-5 red-1 red-2 red-3 red-4"

# What a test may change before it calls `policy`.
underlay=ipv4                      # of NVGRE: ipv4 or ipv6
dual_stack=false                   # whether hosts have provider addresses of the other family too, as rewrite asks for
declare -A method=([blue]=encapsulate [red]=encapsulate)
declare -A carried_by=()           # the group of the provider network that carries a tenant's broadcast and multicast
declare -A vsid=([blue]=5001 [blue-5]=5002 [red]=6001)
declare -A runs_on=([blue-1]=host-1 [blue-2]=host-2 [blue-3]=host-3 [blue-4]=host-2 [blue-5]=host-3
    [red-1]=host-1 [red-2]=host-2 [red-3]=host-3 [red-4]=host-1)
declare -A migrating_from=()
sites=1                            # with 2, host-3 is behind a router, and uplinks are tagged

# Addresses end in these numbers.
declare -A number=([host-1]=11 [host-2]=12 [host-3]=13 [blue-1]=5 [blue-2]=6 [blue-3]=7 [blue-4]=8 [blue-5]=14
    [red-1]=5 [red-2]=6 [red-3]=7 [red-4]=9)
declare -A vlan=([site-1]=10 [site-2]=20)

tenant() {
    echo "${1%-*}"
}

site_of_host() {
    [[ $sites == 2 && $1 == host-3 ]] && echo site-2 || echo site-1
}

# provider_prefix SITE ipv4|ipv6: with one site its IPv4 prefix has room for the hosts of many-machines.
provider_prefix() {
    case $sites,$1,$2 in
        1,*,ipv4) echo 192.168.0.0/16 ;;
        2,site-1,ipv4) echo 192.168.4.0/24 ;;
        2,site-2,ipv4) echo 192.168.5.0/24 ;;
        *,site-1,ipv6) echo fd00:a4::/64 ;;
        *,site-2,ipv6) echo fd00:a5::/64 ;;
    esac
}

# provider_address SITE ipv4|ipv6 NUMBER
provider_address() {
    case $1,$2 in
        site-1,ipv4) echo "192.168.4.$3" ;;
        site-2,ipv4) echo "192.168.5.$3" ;;
        site-1,ipv6) echo "fd00:a4::$3" ;;
        site-2,ipv6) echo "fd00:a5::$3" ;;
    esac
}

# host_address HOST: where NVGRE goes to.
host_address() {
    provider_address "$(site_of_host "$1")" "$underlay" "${number[$1]}"
}

uplink_mac() {
    echo "02:00:00:00:00:${number[$1]}"
}

machine_mac() {
    case $1 in
        blue-*) printf '06:06:00:00:00:%02x' "${number[$1]}" ;;
        red-*) printf '08:08:00:00:00:%02x' "${number[$1]}" ;;
    esac
}

ipv4_of() {
    [[ $1 == blue-5 ]] && echo "10.0.1.${number[$1]}" || echo "10.0.0.${number[$1]}"
}

ipv6_of() {
    [[ $1 == blue-5 ]] && echo "fd00:6::${number[$1]}" || echo "fd00:5::${number[$1]}"
}

vsid_of() {
    echo "${vsid[$1]:-${vsid[$(tenant "$1")]}}"
}

# The provider addresses of a machine under rewrite, IPv4 and IPv6. They are not the same in blue and red, of course.
rewrite_addresses() {
    local site last
    site=$(site_of_host "${runs_on[$1]}")
    case $1 in
        blue-*) last=$((100 + number[$1])) ;;
        red-*) last=$((200 + number[$1])) ;;
    esac
    provider_address "$site" ipv4 "$last"
    provider_address "$site" ipv6 "$last"
}

# "first", "second"
quoted() {
    local list
    printf -v list '"%s", ' "$@"
    echo "${list%, }"
}

is_rewritten() {
    [[ ${method[$1]} != encapsulate ]]
}

# ---- The policy file ----

policy() {
    local each
    for each in $(seq 1 "$sites"); do
        policy_physical_network "site-$each" ipv4
        policy_physical_network "site-$each" ipv6
    done
    for each in $hosts; do
        policy_host "$each"
    done
    for each in blue red; do
        policy_tenant "$each"
    done
    for each in $machines; do
        policy_machine "$each"
    done
}

policy_physical_network() {
    local site=$1 family=$2 other="site-1"
    cat <<EOF
[[physical-network]]
name = "$site-$family"
prefix = "$(provider_prefix "$site" "$family")"
mtu = $wire_mtu
EOF
    [[ $sites == 2 ]] || { echo; return 0; }
    [[ $site == site-2 ]] || other="site-2"
    cat <<EOF
vlan = ${vlan[$site]}

[[physical-network.route]]
prefix = "$(provider_prefix "$other" "$family")"
next-hop = "$(provider_address "$site" "$family" 1)"

EOF
}

policy_host() {
    local site family list
    site=$(site_of_host "$1")
    list=("$(host_address "$1")")
    if $dual_stack; then
        [[ $underlay == ipv4 ]] && family=ipv6 || family=ipv4
        list+=("$(provider_address "$site" "$family" "${number[$1]}")")
    fi
    cat <<EOF
[[host]]
name = "$1"
uplink = { mac = "$(uplink_mac "$1")", interface = "u0" }
addresses = [$(quoted "${list[@]}")]

EOF
}

policy_tenant() {
    cat <<EOF
[[routing-domain]]
name = "$1"

[[routing-domain.subnet]]
vsid = ${vsid[$1]}
prefixes = ["10.0.0.0/24", "fd00:5::/64"]
method = "${method[$1]}"
multicast = [$(policy_groups "$1")]

EOF
    [[ $1 == blue ]] || return 0
    cat <<EOF
[[routing-domain.subnet]]
vsid = ${vsid[blue-5]}
prefixes = ["10.0.1.0/24", "fd00:6::/64"]
method = "${method[$1]}"

EOF
}

# The addresses for many that this test's machines send to.
policy_groups() {
    local address
    [[ -n ${carried_by[$1]:-} ]] || return 0
    for address in 255.255.255.255 10.0.0.255 224.0.0.1 ff02::1; do
        printf '{ group = "%s", provider = "%s" }, ' "$address" "${carried_by[$1]}"
    done
}

policy_machine() {
    cat <<EOF
[[vm]]
name = "$1"
subnet = $(vsid_of "$1")
host = "${runs_on[$1]}"
mac = "$(machine_mac "$1")"
addresses = [$(quoted "$(ipv4_of "$1")" "$(ipv6_of "$1")")]
$(policy_attachment "$1")
EOF
    if is_rewritten "$(tenant "$1")"; then
        # shellcheck disable=SC2046 # two addresses, two words
        echo "provider-addresses = [$(quoted $(rewrite_addresses "$1"))]"
    fi
    if [[ -n ${migrating_from[$1]:-} ]]; then
        echo "migrating-from = \"${migrating_from[$1]}\""
    fi
    echo
}

policy_attachment() {
    if is_container "$1"; then
        printf 'interface = "%s"\nattach = "veth"\n' "$1"
    else
        printf 'interface = "eth0"\nnamespace = "%s"\nattach = "tap"\n' "$(ns "$1")"
    fi
}

is_container() {
    [[ $1 == blue-4 ]]
}

# ---- The network itself ----

# Namespaces of hosts and machines, and the router if there are two sites.
build_network() {
    local each
    wire
    for each in $hosts; do
        host "$each" "$(uplink_mac "$each")"
    done
    if [[ $sites == 2 ]]; then
        router "$(leg site-1)" "$(leg site-2)"
    fi
    for each in $machines; do
        if is_container "$each"; then
            container "$each" "${runs_on[$each]}" "$(machine_mac "$each")"
        else
            machine "$each"
        fi
    done
}

leg() {
    echo "${vlan[$1]}=$(provider_address "$1" ipv4 1)/24,$(provider_address "$1" ipv6 1)/64"
}

# start_network POLICY [OPTION...]: starts the switches of all hosts, and gives the machines their addresses.
start_network() {
    local policy=$1 each
    shift
    for each in $hosts; do
        switch_begin "$each" "$policy" "$@"
    done
    for each in $hosts; do
        switch_await "$each"
    done
    for each in $machines; do
        addresses "$each" "$(ipv4_of "$each")/24" "$(ipv6_of "$each")/64"
        case $each in
            blue-*) acquaint "$each" red-4 ;;
            red-*) acquaint "$each" blue-4 ;;
        esac
    done
}

# acquaint MACHINE STRANGER: the machine knows the MAC address of one of the other tenant, so that what it sends there
# is not kept back for want of it.
acquaint() {
    local address
    for address in "$(ipv4_of "$2")" "$(ipv6_of "$2")"; do
        ip -n "$(ns "$1")" neighbour add "$address" lladdr "$(machine_mac "$2")" dev eth0
    done
}

# ---- Traffic ----

# The ledger's options for numbered datagrams inside both tenants, in both IP versions, and for datagrams from one
# tenant to the other, of which none may arrive.
ledger_options() {
    local each
    for each in $machines; do
        printf '%s\n' --endpoint "$each,$(tenant "$each"),$(ns "$each"),$(ipv4_of "$each")" \
            --endpoint "$each.6,$(tenant "$each"),$(ns "$each"),$(ipv6_of "$each")"
    done
    for each in blue-1,blue-2 blue-2,blue-3 blue-2,blue-4 blue-1,blue-5 red-1,red-2 red-2,red-3 red-1,red-4; do
        ! are_machines "${each%,*}" "${each#*,}" || printf '%s\n' --pair "$each" --pair "${each%,*}.6,${each#*,}.6"
    done
    for each in blue-1,red-4 blue-2,red-4 red-1,blue-4 red-2,blue-4; do
        printf '%s\n' --probe "$each" --probe "${each%,*}.6,${each#*,}.6"
    done
}

# Whether all of them are in the network of this test.
are_machines() {
    local each
    for each; do
        [[ " $machines " == *" $each "* ]] || return 1
    done
}

# The ledger on the network, at so many datagrams a second of each flow. While hosts and machines find their neighbours,
# a few may be lost.
start_traffic() {
    local options
    mapfile -t options < <(ledger_options)
    ledger_start --rate "$1" "${options[@]}"
    ledger_say run 100
    ledger_say mark steady
}

# ---- A third tenant, which talks to nobody and only makes the policy large ----

# here_machine NUMBER HOST: a machine of the domain `bulk`, so that its host needs the records of all the others.
here_machine() {
    cat <<EOF
[[vm]]
name = "here-$1"
subnet = 100000
host = "$2"
mac = "02:be:00:00:00:0$1"
addresses = ["10.0.0.$((1 + $1))"]
interface = "eth0"
namespace = "$(ns "here-$1")"
attach = "tap"
EOF
}
