-- Shows VSID and FlowID of NVGRE (RFC 7637 §3.2) in Wireshark, which knows the frame as GRE with a key:
--
--     tshark -X lua_script:examples/nvgre.lua -r wire.pcapng -Y 'nvgre.vsid == 5001'
--
-- or copy it into Wireshark's folder of personal Lua plugins.

local nvgre = Proto("nvgre", "Network Virtualization using GRE")
local vsid = ProtoField.uint24("nvgre.vsid", "Virtual Subnet ID", base.DEC)
local flow_id = ProtoField.uint8("nvgre.flow_id", "FlowID", base.HEX)
nvgre.fields = { vsid, flow_id }

local gre_flags = Field.new("gre.flags_and_version")
local gre_protocol = Field.new("gre.proto")
local gre_key = Field.new("gre.key")

local KEY_ONLY = 0x2000
local TRANSPARENT_ETHERNET = 0x6558

-- A tunnel may lie in another; of each kind of field there are then as many.
function nvgre.dissector(_, _, tree)
    local flags, protocols, keys = { gre_flags() }, { gre_protocol() }, { gre_key() }
    if #flags ~= #keys then
        return
    end
    for number, key in ipairs(keys) do
        if flags[number].value == KEY_ONLY and protocols[number].value == TRANSPARENT_ETHERNET then
            local bytes = key.range
            local subtree = tree:add(nvgre, bytes)
            subtree:add(vsid, bytes(0, 3))
            subtree:add(flow_id, bytes(3, 1))
            subtree:append_text((", VSID %d, FlowID 0x%02x"):format(bytes(0, 3):uint(), bytes(3, 1):uint()))
        end
    end
end

register_postdissector(nvgre)
