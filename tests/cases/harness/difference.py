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


def _short(text):
    return text if len(text) <= 100 else text[:100] + "..."


def _hex_lines(data, around):
    """The line with byte `around`, three before and eight after it."""
    first = max(0, around // 16 - 3) * 16
    return [f"    {at:04x}  {data[at:at + 16].hex(' ')}" for at in range(first, min(len(data), first + 192), 16)]


def show(data, around=0):
    """One packet, as scapy reads it and in bytes."""
    lines = []
    try:
        lines = ["    " + _short(line) for line in Ether(data).show2(dump=True).splitlines()]
    except Exception as error:  # scapy on bytes that are no packet.
        lines = [f"    (scapy cannot read it: {error})"]
    return "\n".join(lines + _hex_lines(data, around))


def describe(expected, actual):
    """The fields that differ, the first byte that does, and both packets."""
    lines = []
    if len(expected) != len(actual):
        lines.append(f"  length: expected {len(expected)}, is {len(actual)}")
    differs = [at for at, (a, b) in enumerate(zip(expected, actual)) if a != b]
    at = differs[0] if differs else min(len(expected), len(actual))
    lines.append(f"  first byte that differs: {at}")
    try:
        for (name, a), (other, b) in zip(_fields(expected), _fields(actual)):
            if name != other:
                lines.append(f"  {name} expected where {other} is")
                break
            if a != b:
                lines.append(_short(f"  {name}: expected {a!r}, is {b!r}"))
    except Exception as error:  # As above.
        lines.append(f"  (scapy cannot read it: {error})")
    return "\n".join(lines + ["  expected:", show(expected, at), "  is:", show(actual, at)])
