import { after, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, renameSync, symlinkSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import * as runtime from "#runtime";
import { UsageError } from "../../src/base/errors.ts";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { type Claim, Listeners, type Wanted } from "../../src/master/listeners/listeners.ts";
import { readCInt } from "../../src/os/structures.ts";
import { cInt } from "../../src/os/structures.ts";
import { TCP_KEEPCNT } from "../../src/os/constants.ts";
import { TCP_KEEPIDLE } from "../../src/os/constants.ts";
import { TCP_KEEPINTVL } from "../../src/os/constants.ts";
import { IPPROTO_TCP } from "../../src/os/constants.ts";
import { SO_ACCEPTCONN } from "../../src/os/constants.ts";
import { SOL_SOCKET } from "../../src/os/constants.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { freePort, loopback } from "../support/adapter.ts";
import { start } from "../support/parse.ts";
import { temporaryDirectory } from "../support/system.ts";

const libc: Libc = runtime.libc;
const { capabilities }: Runtime = runtime;
const settings = start([]).config;
const made: Listeners[] = [];
const logged: LogEntry[] = [];
after(() => made.forEach((listeners) => listeners.close()));

function listeners(inherited: Listeners["held"] = [], adoptSockets = true): Listeners {
  const one = new Listeners(
    { libc, capabilities: { ...capabilities, adoptSockets } },
    (entry) => logged.push(entry),
    // A process that inherits them has them under other numbers.
    inherited.map((address) => {
      const copies = new Map(address.fds.map((fd) => [fd, libc.dup(fd)]));
      return { ...address, fds: address.fds.map((fd) => copies.get(fd)!) };
    }),
  );
  made.push(one);
  return one;
}

function commit(claim: Claim): void {
  claim.use();
  claim.keep();
}

function wanted(endpoint: Endpoint): Wanted {
  return { endpoint, dualStack: false };
}

function listens(fd: number): boolean {
  return option(fd, SOL_SOCKET, SO_ACCEPTCONN) === 1;
}

/** Returns undefined if it is not a socket. */
function option(fd: number, level: number, name: number): number | undefined {
  const value = cInt(0);
  return libc.getsockopt(fd, level, name, value, cInt(4)) === 0 ? readCInt(value) : undefined;
}

/** Returns "connected" or the error's code. */
function tryConnect(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve("connected");
    });
    socket.on("error", (error) => resolve((error as NodeJS.ErrnoException).code!));
  });
}

/** A path whose directory `breakIt` makes unusable, for root as well; `real` always works. */
function breakable() {
  const directory = temporaryDirectory();
  const [link, real] = [join(directory, "link"), join(directory, "real")];
  mkdirSync(real);
  symlinkSync(real, link);
  return {
    path: join(link, "stud.sock"),
    real: join(real, "stud.sock"),
    breakIt() {
      symlinkSync(link, `${link}.new`);
      renameSync(`${link}.new`, link);
    },
  };
}

test("inherited sockets are used, and sockets for more slots are opened beside them", () => {
  const at = wanted(loopback(freePort()));
  const old = listeners();
  commit(old.claim([at], 2, settings));
  const successor = listeners(old.held);
  const inherited = successor.held[0]!.fds;
  const claim = successor.claim([at], 3, settings);
  const [fds] = claim.fds;
  assert.deepEqual(fds!.slice(0, 2), inherited);
  assert.equal(fds!.length, 3);
  assert.deepEqual(fds!.map(listens), [true, true, false], "the new worker makes its own listen");
  commit(claim);
  assert.ok(!listens(fds![2]!), "a predecessor's sockets stay as they are");
  successor.takeOver();
  old.handOver();
  assert.deepEqual(fds!.map(listens), [true, true, true]);
});

test("a dropped claim closes only what it opened", () => {
  const [kept, added] = [wanted(loopback(freePort())), wanted(loopback(freePort()))];
  const old = listeners();
  commit(old.claim([kept], 1, settings));
  const successor = listeners(old.held);
  const claim = successor.claim([kept, added], 2, settings);
  const [[first, second], [third]] = claim.fds as [number[], number[]];
  claim.drop();
  assert.deepEqual([first!, second!, third!].map(listens), [true, false, false]);
});

test("inherited sockets that the new process does not use are closed when it takes over", () => {
  const [kept, other] = [wanted(loopback(freePort())), wanted(loopback(freePort()))];
  const old = listeners();
  commit(old.claim([kept, other], 1, settings));
  const successor = listeners(old.held);
  const unwanted = successor.held[1]!.fds[0]!;
  commit(successor.claim([kept], 1, settings));
  assert.ok(listens(unwanted));
  successor.takeOver();
  assert.ok(!listens(unwanted));
  assert.deepEqual(successor.held.map(({ endpoint }) => endpoint), [kept.endpoint]);
});

test("a Unix socket's file belongs to the new process once it has taken over", () => {
  const path = join(temporaryDirectory(), "stud.sock");
  const at = wanted({ family: "unix", path });
  const old = listeners();
  commit(old.claim([at], 2, settings));
  const failing = listeners(old.held);
  commit(failing.claim([at], 2, settings));
  failing.close();
  assert.ok(existsSync(path), "one that gives up leaves it");
  const successor = listeners(old.held);
  commit(successor.claim([at], 2, settings));
  successor.takeOver();
  old.handOver();
  assert.ok(existsSync(path), "the old one leaves it too");
  successor.close();
  assert.ok(!existsSync(path));
});

test("if workers bind their own sockets, a predecessor's address does not count as in use", () => {
  const at = wanted(loopback(freePort()));
  const old = listeners();
  commit(old.claim([at], 1, settings));
  assert.throws(() => listeners([], false).claim([at], 1, settings), UsageError);
  const address = { endpoint: at.endpoint, fds: [], isActivated: false };
  assert.deepEqual(listeners([address], false).claim([at], 1, settings).fds, [[]]);
});

test("the service manager's socket stays open if no configuration uses it", () => {
  const at = wanted(loopback(freePort()));
  const opener = listeners();
  commit(opener.claim([at], 1, settings));
  const [activated] = opener.held[0]!.fds;
  const one = listeners();
  commit(one.claim([{ ...at, activated: activated! }], 2, settings));
  commit(one.claim([], 2, settings));
  assert.ok(listens(activated!));
});

test("if a socket file cannot be removed, all addresses are still closed", async () => {
  const { path, real, breakIt } = breakable();
  const other = join(temporaryDirectory(), "other.sock");
  const one = listeners();
  const all = [path, other].map((each) => wanted({ family: "unix", path: each }));
  commit(one.claim([...all, wanted(loopback(freePort()))], 1, settings));
  const fds = one.held.flatMap((address) => address.fds);
  assert.deepEqual(fds.map(listens), [true, true, true]);
  breakIt();
  logged.length = 0;
  one.withdraw();
  assert.ok(lstatSync(real).isSocket(), "it could not be removed");
  assert.equal(await tryConnect(real), "ECONNREFUSED", "the socket refuses without being closed");
  assert.equal(logged.length, 1);
  assert.equal(logged[0]!.level, "warn");
  assert.match(logged[0]!.message, /^--frontend: cannot remove the socket .*link\/stud\.sock/);
  one.close();
  assert.ok(!existsSync(other));
  assert.deepEqual(fds.map(listens), [false, false, false]);
  assert.deepEqual(one.held, []);
});

test("an abstract socket refuses new connections when it is withdrawn", async () => {
  const path = `@stud-test-${process.pid}-${freePort()}`;
  const one = listeners();
  commit(one.claim([wanted({ family: "unix", path })], 1, settings));
  const address = path.replace("@", "\0");
  const isConnectable = await tryConnect(address);
  one.withdraw();
  // Not every runtime's client supports abstract names.
  if (isConnectable === "connected") assert.equal(await tryConnect(address), "ECONNREFUSED");
  assert.ok(listens(one.held[0]!.fds[0]!));
});

test("the settings of an open socket change when a claim is used, not before", () => {
  const at = wanted(loopback(freePort()));
  const one = listeners();
  commit(one.claim([at], 1, settings));
  const [fd] = one.held[0]!.fds;
  const idle = () => option(fd!, IPPROTO_TCP, TCP_KEEPIDLE);
  const others = { ...settings, keepalive: 120 };
  const given = one.claim([at], 1, others);
  assert.equal(idle(), settings.keepalive);
  given.drop();
  assert.equal(idle(), settings.keepalive);
  commit(one.claim([at], 1, others));
  assert.equal(idle(), 120);
});

test("a successor applies its settings to inherited sockets when it takes over", () => {
  const at = wanted(loopback(freePort()));
  const old = listeners();
  commit(old.claim([at], 1, settings));
  const successor = listeners(old.held);
  commit(successor.claim([at], 1, { ...settings, keepalive: 120 }));
  const [fd] = old.held[0]!.fds;
  assert.equal(option(fd!, IPPROTO_TCP, TCP_KEEPIDLE), settings.keepalive);
  assert.equal(option(fd!, IPPROTO_TCP, TCP_KEEPINTVL), 75);
  assert.equal(option(fd!, IPPROTO_TCP, TCP_KEEPCNT), 3);
  successor.takeOver();
  assert.equal(option(fd!, IPPROTO_TCP, TCP_KEEPIDLE), 120);
});
