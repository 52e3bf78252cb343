"""tshark, a third reading of the RFCs: every packet a case sent is read back by it."""
import struct
import subprocess

# What it calls wrong. Payloads are no protocol of their own; ports must not make it think so.
# What an ICMP error quotes is cut short: the sums of that transport header cannot be told from it.
_QUOTES = "(icmp.type in {3, 11, 12} || icmpv6.type in {1, 2, 3, 4})"
_WRONG = ("_ws.malformed || ip.checksum.status == 0 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0"
          " || (!" + _QUOTES + " && (tcp.checksum.status == 0 || udp.checksum.status == 0"
          " || sctp.checksum.status == 0))")
_OPTIONS = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE",
            "sctp.checksum:CRC-32c", "tcp.analyze_sequence_numbers:FALSE"]


def write_pcap(path, packets):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))  # Ethernet.
        for number, packet in enumerate(packets):
            file.write(struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet)


def _tshark(path, *arguments):
    command = ["tshark", "-n", "-r", path, "-d", "udp.port==8472,vxlan", "-d", "tcp.port==80,data",
               "-d", "udp.port==80,data", "-d", "tcp.port==8080,data", "-d", "udp.port==8080,data"]
    for option in _OPTIONS:
        command += ["-o", option]
    done = subprocess.run(command + list(arguments), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def read_back(path, sent):
    """Writes the packets to `path`; gives a text for each that tshark finds fault with."""
    write_pcap(path, [s.data for s in sent])
    numbers = _tshark(path, "-T", "fields", "-e", "frame.number").split()
    if len(numbers) != len(sent):
        return [f"tshark read {len(numbers)} packets of {len(sent)}: {path}"]
    faults = []
    wrong = _tshark(path, "-Y", _WRONG, "-T", "fields", "-e", "frame.number").split()
    for number in wrong:
        shown = _tshark(path, "-Y", f"frame.number == {number}", "-V") if number in wrong[:3] else ""
        faults.append(f"{sent[int(number) - 1].title}: tshark finds fault:\n{shown}")
    return faults
