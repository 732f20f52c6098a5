# Two tenants with the same addresses on two hosts, set up the way administrators of Hyper-V Network Virtualization do:
# `netvirt import examples/two-hosts.ps1` makes the policy file of the same network out of it.

$hosts = "hv01", "hv02"

# What each host owns: its provider address, and the machines that run on it with their MAC addresses.
$provider = @{
    hv01 = "192.168.4.11"
    hv02 = "192.168.4.22"
}
$machines = @(
    @{ Name = "blue-1"; Host = "hv01"; VSID = 5001; CA = "10.0.0.5"; MAC = "060600000005" }
    @{ Name = "blue-2"; Host = "hv02"; VSID = 5001; CA = "10.0.0.7"; MAC = "060600000007" }
    @{ Name = "red-1";  Host = "hv01"; VSID = 6001; CA = "10.0.0.5"; MAC = "080800000005" }
    @{ Name = "red-2";  Host = "hv02"; VSID = 6001; CA = "10.0.0.7"; MAC = "080800000007" }
)
$tenants = @(
    @{ VSID = 5001; RDID = "{11111111-2222-3333-4444-000000005001}" }   # Blue
    @{ VSID = 6001; RDID = "{11111111-2222-3333-4444-000000006001}" }   # Red
)

foreach ($name in $hosts) {
    Write-Host "Setting up network virtualization on $name ..."
    $cim = New-CimSession -ComputerName $name

    # The provider address is on the adapter that the virtual switch is bound to.
    $adapter = Get-NetAdapter -Name "WNV*" -CimSession $cim
    New-NetVirtualizationProviderAddress -ProviderAddress $provider[$name] -PrefixLength 24 `
        -InterfaceIndex $adapter.InterfaceIndex -CimSession $cim

    # Where each machine is: all hosts know all of them.
    foreach ($vm in $machines) {
        $record = @{
            VirtualSubnetID = $vm.VSID
            CustomerAddress = $vm.CA
            MACAddress      = $vm.MAC
            ProviderAddress = $provider[$vm.Host]
            Rule            = "TranslationMethodEncap"
            VMName          = $vm.Name
        }
        New-NetVirtualizationLookupRecord @record -CimSession $cim
    }

    # Which prefix each virtual subnet is, and in which routing domain.
    foreach ($tenant in $tenants) {
        New-NetVirtualizationCustomerRoute -RoutingDomainID $tenant.RDID -VirtualSubnetID $tenant.VSID `
            -DestinationPrefix "10.0.0.0/24" -NextHop "0.0.0.0" -Metric 255 -CimSession $cim
    }
}

# Each machine's port is put into its virtual subnet, once, on the host where it runs.
foreach ($vm in $machines) {
    Get-VMNetworkAdapter -VMName $vm.Name -ComputerName $vm.Host |
        Where-Object { $_.MacAddress -eq $vm.MAC } |
        Set-VMNetworkAdapter -VirtualSubnetId $vm.VSID
}
