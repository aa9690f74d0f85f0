/** The master's end of the helper that exchanges sessions with other machines. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as runtime from "#runtime";
import { UsageError } from "../../src/base/errors.ts";
import type { ProcessExit } from "../../src/control/child_process.ts";
import { type PeersProcess, SessionPeers } from "../../src/sessions/session_peers.ts";
import { isGroup, type PeersPlan, planPeers } from "../../src/sessions/session_peers_plan.ts";
import { readSockaddr } from "../../src/os/sockaddr.ts";
import { SOCKADDR_SIZE } from "../../src/os/sockaddr.ts";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { cInt } from "../../src/os/structures.ts";
import { SOCK_DGRAM } from "../../src/os/constants.ts";
import { AF_INET } from "../../src/os/constants.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { IpEndpoint } from "../../src/os/endpoint.ts";
import {
  parsePeersEvent,
  type PeersCommand,
  type PeerSession,
  type PeersEvent,
} from "../../src/sessions/peers_messages.ts";
import { HandClock } from "../support/hand_clock.ts";

const libc: Libc = (runtime as Runtime).libc;
const base64 = (length: number) => randomBytes(length).toString("base64");
const made: PeerSession = {
  type: "session",
  ...{ policy: base64(32), id: base64(32), session: base64(100), seconds: 60 },
};
const crash: ProcessExit = { code: null, signal: "SIGKILL" };

class FakeProcess implements PeersProcess {
  onEvent: (report: PeersEvent) => void = () => {};
  onExit: (exit: ProcessExit) => void = () => {};
  readonly commands: PeersCommand[] = [];
  readonly fd: number;
  isEnded = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  send(command: PeersCommand): void {
    this.commands.push(command);
  }

  offer(command: PeersCommand): boolean {
    this.send(command);
    return true;
  }

  kill(): void {
    this.isEnded = true;
    this.onExit({ code: null, signal: "SIGKILL" });
  }
}

/** On a loopback address which no other test binds; the kernel chose the port. */
const listen = { family: 4, address: "127.0.77.1", port: freePort() } as const;
const plan: PeersPlan = {
  ...{ listen, peers: [], interface: 0, ttl: 1, key: "a2V5" },
};

function sharing({ isSuccessor = false } = {}) {
  const clock = new HandClock();
  const processes: FakeProcess[] = [];
  const sessions: PeerSession[] = [];
  const lines: string[] = [];
  let isRefused = false;
  const peers = new SessionPeers(
    libc,
    (fd) => {
      if (isRefused) throw new Error("fork failed");
      processes.push(new FakeProcess(fd));
      return processes.at(-1)!;
    },
    { session: (session) => sessions.push(session), log: ({ message }) => lines.push(message) },
    { isSuccessor, clock },
  );
  const use = (wanted: PeersPlan | undefined) => {
    peers.open(wanted);
    peers.use();
  };
  const refuse = (no: boolean) => isRefused = no;
  return { clock, peers, processes, sessions, lines, use, refuse };
}

test("the helper gets a bound socket, its start, and every session from then on", async () => {
  const { peers, processes, sessions, lines, use } = sharing();
  peers.share(made);
  use(plan);
  peers.share(made);
  assert.deepEqual(processes[0]!.commands.map(({ type }) => type), ["start", "session"]);
  assert.deepEqual(processes[0]!.commands[0], { type: "start", key: "a2V5", family: 4, peers: [] });
  processes[0]!.onEvent(made);
  assert.deepEqual(sessions, [made]);
  const entry = { level: "warn", event: "session-dropped", message: "line", facts: {} } as const;
  processes[0]!.onEvent({ type: "log", entry });
  assert.deepEqual(lines, ["line"]);
  await peers.stop();
  assert.ok(processes[0]!.isEnded);
});

test("a helper that exits is restarted after ten seconds, with the same socket", async () => {
  const { clock, peers, processes, lines, use, refuse } = sharing();
  use(plan);
  processes[0]!.onExit(crash);
  peers.share(made);
  assert.match(lines[0]!, /helper ended \(signal SIGKILL\); restarting it in 10 s/);
  clock.advance(9_999);
  assert.equal(processes.length, 1);
  refuse(true);
  clock.advance(1);
  assert.match(lines[1]!, /cannot be started \(fork failed\); restarting it in 10 s/);
  refuse(false);
  clock.advance(10_000);
  assert.deepEqual(processes[1]!.commands.map(({ type }) => type), ["start"]);
  assert.equal(processes[1]!.fd, processes[0]!.fd);
  await peers.stop();
});

test("a reload that changes nothing keeps the helper; another plan needs another one", async () => {
  const { clock, peers, processes, sessions, use } = sharing();
  use(plan);
  use({ ...plan });
  assert.equal(processes.length, 1);
  use({ ...plan, key: "b3RoZXI=" });
  assert.equal(processes.length, 2);
  assert.ok(processes[0]!.isEnded);
  assert.equal(processes[1]!.fd, processes[0]!.fd, "the socket is the same");
  use({ ...plan, ttl: 2 });
  assert.equal(processes.length, 3, "the address is ours, so a second socket may have it");
  assert.notEqual(processes[2]!.fd, processes[1]!.fd);
  processes[0]!.onEvent(made);
  assert.deepEqual(sessions, [], "who was replaced is not heard");
  use(undefined);
  assert.ok(processes[2]!.isEnded);
  clock.advance(60_000);
  assert.equal(processes.length, 3);
  use(plan);
  assert.equal(processes.length, 4, "the address was given back");
  await peers.stop();
});

test("an address in use is refused, and nothing changes", async () => {
  const [one, two] = [sharing(), sharing()];
  one.use(plan);
  assert.throws(() => two.peers.open(plan), (error: unknown) => {
    assert.ok(error instanceof UsageError);
    return /^--shared-cache-listen: cannot listen on .+: the port is in use/.test(error.message);
  });
  two.peers.use();
  assert.equal(two.processes.length, 0);
  const successor = sharing({ isSuccessor: true });
  successor.use(plan);
  assert.equal(successor.processes.length, 1, "but a successor may use it");
  await Promise.all([one, successor].map(({ peers }) => peers.stop()));
});

test("sockets opened for a failed reload are closed", async () => {
  const { peers, processes, use } = sharing();
  use(plan);
  const other = { ...plan, listen: { ...listen, address: "127.0.77.2" } };
  peers.open(other);
  peers.drop();
  peers.share(made);
  assert.equal(processes.length, 1);
  const probe = sharing();
  probe.use(other);
  assert.equal(probe.processes.length, 1, "the address is free again");
  await Promise.all([peers, probe.peers].map((each) => each.stop()));
});

test("events of a helper in any other form are refused", () => {
  assert.deepEqual(parsePeersEvent({ ...made, more: 1 }), made);
  const changes: Record<string, readonly unknown[]> = {
    type: ["staple", 1],
    policy: [undefined, base64(31)],
    id: ["", base64(33)],
    session: ["", base64(4097), "no base64", 1],
    seconds: [-1, 1.5, "60", 2 ** 60, undefined],
  };
  for (const [name, values] of Object.entries(changes)) {
    for (const value of values) {
      assert.equal(parsePeersEvent({ ...made, [name]: value }), undefined, `${name}: ${value}`);
    }
  }
  for (const value of [null, 1, "session", [], { type: "ready" }, { type: "log" }]) {
    assert.equal(parsePeersEvent(value), undefined);
  }
});

test("groups are distinguished from other addresses", () => {
  const at = (family: 4 | 6, address: string): IpEndpoint => ({ family, address, port: 1 });
  for (const address of ["224.0.0.1", "239.255.255.255"]) assert.ok(isGroup(at(4, address)));
  for (const address of ["223.255.255.255", "240.0.0.1"]) assert.ok(!isGroup(at(4, address)));
  assert.ok(isGroup(at(6, "ff12::1")));
  assert.ok(!isGroup(at(6, "fe80::1")));
});

test("names, addresses and numbers of interfaces are the same, and the wildcard follows its peers", async () => {
  const secret = randomBytes(32);
  const given = { listen: { host: "*", port: 9 }, peers: [], interface: "", ttl: 1 };
  const planned = (change: object) =>
    planPeers(libc, { ...given, ...change }, secret, undefined, []);
  for (const name of ["lo", "1", "127.0.0.1"]) {
    assert.equal((await planned({ interface: name })).interface, 1);
  }
  assert.equal((await planned({})).interface, 0);
  const four = { host: "127.0.0.1", port: 9 };
  const six = { host: "::1", port: 9 };
  assert.equal((await planned({ peers: [four] })).listen.address, "0.0.0.0");
  assert.equal((await planned({ peers: [six] })).listen.address, "::");
  await assert.rejects(planned({ peers: [four, six] }), /give an IPv4 address/);
  await assert.rejects(planned({ interface: "nowhere0" }), /no interface nowhere0/);
  const { key } = await planned({});
  assert.notEqual(key, secret.toString("base64"));
  assert.equal(Buffer.from(key, "base64").length, 32);
});

/** Of UDP; it is given back before it is used. */
function freePort(): number {
  const fd = libc.socket(AF_INET, SOCK_DGRAM, 0);
  const address = sockaddr({ family: 4, address: "127.0.77.1", port: 0 });
  libc.bind(fd, address, address.length);
  const found = new Uint8Array(SOCKADDR_SIZE);
  libc.getsockname(fd, found, cInt(found.length));
  libc.close(fd);
  return (readSockaddr(found) as IpEndpoint).port;
}
