#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Packets through a real device (dpdk-testpmd), every one of them checked when it comes back."""
import struct
import zlib

import net_support
import support

SMALL = 20000


def pcap(packets, link_type=1):
    data = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, link_type)
    for number, packet in enumerate(packets):
        data += struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet
    return data


def packets_of(data):
    magic = struct.unpack_from("<I", data)[0]
    assert magic == 0xa1b2c3d4, hex(magic)
    at, packets = 24, []
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        packets.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return packets


class LoopTest(net_support.NetDeviceTest):
    def test_one_queue(self):
        self.start_testpmd()
        for arguments in ([], ["--born-shared"], ["--wait", "poll"], ["--protocol", "tcp"], ["--no-event-idx"],
                          ["--no-indirect", "--no-mergeable"], ["--size", "60"], ["--packed"], ["--packed", "--born-shared", "--wait", "poll"], ["--in-order"],
                          ["--packed", "--in-order", "--no-event-idx"], ["--queue-size", "1024", "--window", "512"]):
            with self.subTest(arguments):
                result = self.loop("--count", SMALL, *arguments)
                self.assertEqual((result["sent"], result["received"], result["reordered"]), (SMALL, SMALL, 0))
                self.assertNotIn("violations", result)

    def test_text(self):
        self.start_testpmd()
        done = self.net("loop", "--count", 100)
        self.assertIn("100 packets sent, 100 came back as they were", done.stdout)
        self.assertIn("lost 0, corrupted 0, duplicated 0", done.stdout)

    def test_info(self):
        self.start_testpmd()
        done = self.net("info", "--json", "info.json")
        info = self.read_json("info.json")
        self.assertIn("VIRTIO_NET_F_MRG_RXBUF", info["connection"]["features"])
        self.assertIn("VIRTIO_NET_F_MRG_RXBUF", done.stdout)
        self.assertEqual(info["queue_pairs"], 1)
        self.assertGreaterEqual(info["max_queue_pairs"], 1)

    def test_packets_of_several_buffers(self):
        self.start_testpmd()
        for ring in ([], ["--packed"], ["--in-order"], ["--packed", "--in-order"]):
            with self.subTest(ring):
                result = self.loop("--count", SMALL, "--size", "1500-4000", "--rx-buffer", "512", "--window", "16", *ring)
                self.assertGreater(result["of_several_buffers"], SMALL // 2)

    def test_io_mode_and_born_shared_jumbo_frames(self):
        self.start_testpmd(mode="io")
        result = self.loop("--count", SMALL, "--size", "60-9216", "--window", "32", "--born-shared")
        self.assertGreater(result["of_several_buffers"], 0)

    def test_two_queues(self):
        self.start_testpmd(queues=2)
        for ring in ([], ["--packed"]):
            with self.subTest(ring):
                result = self.loop("--count", SMALL, "--queues", 2, *ring)
                self.assertEqual([pair["received"] for pair in result["pairs"]], [SMALL, SMALL])

    def test_checksum_offload(self):
        self.start_testpmd()
        for protocol in ("udp", "tcp"):
            result = self.loop("--count", SMALL, "--checksum-offload", "--protocol", protocol)
            self.assertEqual(result["received"], SMALL)

    def test_capture_there_and_back(self):
        self.start_testpmd(mode="io")
        packets = [bytes([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]) + support.pattern(46 + 7 * n, n) for n in range(200)]
        packets += packets[:10]  # some twice
        (self.folder / "in.pcap").write_bytes(pcap(packets))
        result = self.loop("--in", "in.pcap", "--out", "out.pcap", "--size", "60-2000")
        self.assertEqual(result["received"], len(packets))
        back = packets_of((self.folder / "out.pcap").read_bytes())
        self.assertEqual(sorted(map(zlib.crc32, back)), sorted(map(zlib.crc32, packets)))
        self.assertEqual(back, packets)

    def test_captures_that_cannot_be_sent(self):
        self.start_testpmd()
        for data, sentence in ((b"nothing", "cannot read"), (pcap([]), "has no packets"),
                               (pcap([b"x" * 60], link_type=101), "expected Ethernet"),
                               (pcap([b"x" * 13]), "packet 1 has 13 bytes"),
                               (pcap([b"x" * 60, b"x" * 1515]), "packet 2 has 1515 bytes, expected 14 to 1514"),
                               (pcap([b"x" * 60])[:-1], "cannot read")):
            (self.folder / "bad.pcap").write_bytes(data)
            self.assertIn(sentence, self.net("loop", "--in", "bad.pcap", status=1).stderr)
        self.assertIn("cannot read", self.net("loop", "--in", "missing.pcap", status=1).stderr)
        self.assertIn("cannot write", self.net("loop", "--out", "/nowhere/x.pcap", status=1).stderr)

    def test_translated_addresses(self):
        self.start_testpmd(options=",iommu-support=1")
        for arguments in ([], ["--born-shared"], ["--wait", "poll"], ["--packed"]):
            with self.subTest(arguments):
                result = self.loop("--count", SMALL, "--iommu", *arguments)
                self.assertGreater(result["iotlb"]["misses"], 0)
                self.assertEqual(result["iotlb"]["denied"], 0)

    def test_a_device_that_does_not_translate(self):
        self.start_testpmd()
        done = self.net("loop", "--iommu", status=1)
        self.assertIn("does not offer required features: bit 33 (ACCESS_PLATFORM)", done.stderr)


if __name__ == "__main__":
    support.main()
