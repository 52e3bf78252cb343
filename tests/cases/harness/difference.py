"""How two packets differ, for people."""
from scapy.layers.l2 import Ether
from scapy.packet import NoPayload


def _layers(packet):
    while not isinstance(packet, NoPayload):
        yield packet
        packet = packet.payload


def _fields(data):
    """(layer.field, value) of all layers, in order."""
    result = []
    for layer in _layers(Ether(data)):
        for field in layer.fields_desc:
            result.append((f"{layer.name}.{field.name}", layer.getfieldval(field.name)))
    return result


def _hex_lines(data):
    return [f"    {at:04x}  {data[at:at + 16].hex(' ')}" for at in range(0, len(data), 16)]


def describe(expected, actual):
    """Lines: the fields that differ, the first byte that does, and both packets in full."""
    lines = []
    if len(expected) != len(actual):
        lines.append(f"  length: expected {len(expected)}, is {len(actual)}")
    for at, (a, b) in enumerate(zip(expected, actual)):
        if a != b:
            lines.append(f"  first byte that differs: at {at}, expected {a:02x}, is {b:02x}")
            break
    try:
        for (name, a), (other, b) in zip(_fields(expected), _fields(actual)):
            if name != other:
                lines.append(f"  {name} expected where {other} is")
                break
            if a != b:
                lines.append(f"  {name}: expected {a!r}, is {b!r}")
        for title, data in (("expected", expected), ("is", actual)):
            lines.append(f"  {title}:")
            lines.extend("    " + line for line in Ether(data).show2(dump=True).splitlines())
            lines.extend(_hex_lines(data))
    except Exception as error:  # scapy on bytes that are no packet.
        lines.append(f"  (scapy cannot read it: {error})")
        for title, data in (("expected", expected), ("is", actual)):
            lines.append(f"  {title}:")
            lines.extend(_hex_lines(data))
    return "\n".join(lines)
