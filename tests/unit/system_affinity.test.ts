import { after, test } from "node:test";
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { endianness } from "node:os";
import * as runtime from "#runtime";
import { ipBytes } from "../../src/os/ip.ts";
import { setOption } from "../../src/os/socket_options.ts";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { SO_REUSEPORT } from "../../src/os/constants.ts";
import { SOL_SOCKET } from "../../src/os/constants.ts";
import { SOCK_CLOEXEC } from "../../src/os/constants.ts";
import { SOCK_STREAM } from "../../src/os/constants.ts";
import { AF_INET } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import {
  affinityProgram,
  type AffinityRule,
  attachAffinity,
  detachAffinity,
  randomMultiplier,
} from "../../src/system/affinity.ts";
import { queueLength } from "../../src/os/tcp_info.ts";
import { bareSocket, boundPort, loopback, until } from "../support/adapter.ts";

const libc: Libc = runtime.libc;
const clients: Socket[] = [];
const fds: number[] = [];
after(() => {
  for (const client of clients) client.destroy();
  for (const fd of fds) libc.close(fd);
});

const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const ADDRESSES = Array.from({ length: 40 }, (_, i) => `127.8.${i >> 3}.${1 + i}`);

/** Sockets of one address, in the order in which they started to listen. */
function group(size: number): { readonly port: number; readonly sockets: number[] } {
  const sockets = [bareSocket(SOCK_STREAM | SOCK_CLOEXEC)];
  const port = boundPort(sockets[0]!);
  while (sockets.length < size) {
    const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setOption(libc, fd, { level: SOL_SOCKET, option: SO_REUSEPORT, value: 1 });
    const address = sockaddr(loopback(port));
    assert.equal(libc.bind(fd, address, address.length), 0);
    sockets.push(fd);
  }
  for (const fd of sockets) assert.equal(libc.listen(fd, 200), 0);
  fds.push(...sockets);
  return { port, sockets };
}

/** The index of the socket whose queue gets a connection from this address. */
async function place(
  { port, sockets }: ReturnType<typeof group>,
  localAddress: string,
): Promise<number> {
  const lengths = () => sockets.map((fd) => queueLength(libc, fd));
  const before = lengths();
  clients.push(connect({ port, host: "127.0.0.1", localAddress }));
  let found = -1;
  await until(() => {
    found = lengths().findIndex((length, i) => length > before[i]!);
    return found >= 0;
  }, `a connection from ${localAddress}`);
  return found;
}

/** The program's result for a packet from this address, by the rules of linux/filter.h. */
function result(rule: AffinityRule, protocol: number, source: string): number {
  const header = new DataView(new ArrayBuffer(40));
  new Uint8Array(header.buffer).set(ipBytes(source), protocol === IPV6 ? 8 : 12);
  const program = new DataView(affinityProgram(rule).buffer);
  const little = endianness() === "LE";
  let [a, x] = [0, 0];
  for (let at = 0; at < program.byteLength; at += 8) {
    const k = program.getUint32(at + 4, little);
    switch (program.getUint16(at, little)) {
      case 0x20:
        a = k === 0xffff_f000 ? protocol : header.getUint32(k - 0xfff0_0000);
        break;
      case 0x05:
        at += 8 * k;
        break;
      case 0x15:
        at += 8 * program.getUint8(at + (a === k ? 2 : 3));
        break;
      case 0x0c:
        a = (a + x) >>> 0;
        break;
      case 0x24:
        a = Math.imul(a, k) >>> 0;
        break;
      case 0x74:
        a >>>= k;
        break;
      case 0xac:
        a = (a ^ x) >>> 0;
        break;
      case 0x07:
        x = a;
        break;
      case 0x16:
        return a;
      default:
        assert.fail(`no such instruction at ${at}`);
    }
  }
  return assert.fail("the program has no end");
}

/** The number of these clients that reach each socket. */
function shares(rule: AffinityRule, protocol: number, sources: readonly string[]): number[] {
  const counts = new Array<number>(rule.sockets).fill(0);
  for (const source of sources) counts[result(rule, protocol, source)]!++;
  return counts;
}

test("the kernel routes an address to the socket that the program selects, until it is detached", async () => {
  const all = group(3);
  const rule = { multiplier: randomMultiplier(), sockets: 3 };
  assert.ok(attachAffinity(libc, all.sockets[1]!, rule));
  const places: number[] = [];
  for (const address of ADDRESSES) places.push(await place(all, address));
  assert.deepEqual(places, ADDRESSES.map((address) => result(rule, IPV4, address)));
  const again = ADDRESSES.slice(0, 8);
  for (const [i, address] of again.entries()) assert.equal(await place(all, address), places[i]);
  detachAffinity(libc, all.sockets[2]!);
  const free = new Set<number>();
  for (let i = 0; i < 24; i++) free.add(await place(all, ADDRESSES[0]!));
  assert.ok(free.size > 1, "one client comes to several sockets");
});

test("a program for more sockets than exist loses no connection", async () => {
  const all = group(2);
  assert.ok(attachAffinity(libc, all.sockets[0]!, { multiplier: 1, sockets: 60_000 }));
  for (const address of ADDRESSES.slice(0, 10)) await place(all, address);
});

test("a socket without SO_REUSEPORT is refused", () => {
  const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fds.push(fd);
  assert.equal(attachAffinity(libc, fd, { multiplier: 1, sockets: 2 }), false);
});

test("exactly the first 64 bits of an IPv6 address count", () => {
  for (let round = 0; round < 20; round++) {
    const rule = { multiplier: randomMultiplier(), sockets: 1024 };
    const at = (address: string) => result(rule, IPV6, address);
    assert.equal(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::abcd"));
    const networks = ["2001:db8:1:2::", "2001:db8:1:3::", "2001:db8:2:2::", "2001:db9:1:2::"];
    assert.ok(new Set([...networks, "2002:db8:1:2::"].map(at)).size > 2);
  }
});

test("addresses that differ in only one part are spread over the sockets", () => {
  const ways: [number, (i: number) => string][] = [
    [IPV4, (i) => `10.0.${i >> 8}.${i & 255}`],
    [IPV4, (i) => `10.${i >> 6}.${(i & 63) * 4}.1`],
    [IPV4, (i) => `${1 + (i & 127)}.${i >> 7}.0.1`],
    [IPV6, (i) => `2001:db8:0:${i.toString(16)}::1`],
    [IPV6, (i) => `2001:db8:${i.toString(16)}::1`],
    [IPV6, (i) => `2001:${i.toString(16)}::1`],
  ];
  for (const multiplier of [1, 0x8000_0001, 0xffff_ffff, 0x1234_0001, randomMultiplier()]) {
    for (const [protocol, nth] of ways) {
      const sources = Array.from({ length: 1024 }, (_, i) => nth(i));
      for (const sockets of [2, 4, 7]) {
        const [mean, counts] = [1024 / sockets, shares({ multiplier, sockets }, protocol, sources)];
        const counted = `${multiplier} ${sources[1]} ${counts}`;
        assert.ok(counts.every((count) => count > mean / 2 && count < mean * 2), counted);
      }
    }
  }
});
