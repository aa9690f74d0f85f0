import { after, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as runtime from "#runtime";
import { UsageError } from "../../src/base/errors.ts";
import { Listeners, type Wanted } from "../../src/master/listeners/listeners.ts";
import { readCInt } from "../../src/os/structures.ts";
import { cInt } from "../../src/os/structures.ts";
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
after(() => made.forEach((listeners) => listeners.close()));

function listeners(inherited: Listeners["held"] = [], adoptSockets = true): Listeners {
  const one = new Listeners(
    { libc, capabilities: { ...capabilities, adoptSockets } },
    // A process that inherits them has them under other numbers.
    inherited.map((address) => {
      const copies = new Map(address.fds.map((fd) => [fd, libc.dup(fd)]));
      return { ...address, fds: address.fds.map((fd) => copies.get(fd)!) };
    }),
  );
  made.push(one);
  return one;
}

function wanted(endpoint: Endpoint): Wanted {
  return { endpoint, dualStack: false };
}

function listens(fd: number): boolean {
  const value = cInt(0);
  return libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, value, cInt(4)) === 0 &&
    readCInt(value) === 1;
}

test("inherited sockets are used, and sockets for more slots are opened beside them", () => {
  const at = wanted(loopback(freePort()));
  const old = listeners();
  old.claim([at], 2, settings).keep();
  const heir = listeners(old.held);
  const inherited = heir.held[0]!.fds;
  const claim = heir.claim([at], 3, settings);
  const [fds] = claim.fds;
  assert.deepEqual(fds!.slice(0, 2), inherited);
  assert.equal(fds!.length, 3);
  assert.deepEqual(fds!.map(listens), [true, true, false], "the new worker makes its own listen");
  claim.keep();
  heir.takeOver();
  old.leave();
  assert.deepEqual(fds!.map(listens), [true, true, false]);
});

test("a dropped claim closes only what it opened", () => {
  const [kept, added] = [wanted(loopback(freePort())), wanted(loopback(freePort()))];
  const old = listeners();
  old.claim([kept], 1, settings).keep();
  const heir = listeners(old.held);
  const claim = heir.claim([kept, added], 2, settings);
  const [[first, second], [third]] = claim.fds as [number[], number[]];
  claim.drop();
  assert.deepEqual([first!, second!, third!].map(listens), [true, false, false]);
});

test("inherited sockets that the new process does not use are closed when it takes over", () => {
  const [kept, other] = [wanted(loopback(freePort())), wanted(loopback(freePort()))];
  const old = listeners();
  old.claim([kept, other], 1, settings).keep();
  const heir = listeners(old.held);
  const unwanted = heir.held[1]!.fds[0]!;
  heir.claim([kept], 1, settings).keep();
  assert.ok(listens(unwanted));
  heir.takeOver();
  assert.ok(!listens(unwanted));
  assert.deepEqual(heir.held.map(({ endpoint }) => endpoint), [kept.endpoint]);
});

test("a Unix socket's file belongs to the new process once it has taken over", () => {
  const path = join(temporaryDirectory(), "stud.sock");
  const at = wanted({ family: "unix", path });
  const old = listeners();
  old.claim([at], 2, settings).keep();
  const failing = listeners(old.held);
  failing.claim([at], 2, settings).keep();
  failing.close();
  assert.ok(existsSync(path), "one that gives up leaves it");
  const heir = listeners(old.held);
  heir.claim([at], 2, settings).keep();
  heir.takeOver();
  old.leave();
  assert.ok(existsSync(path), "the old one leaves it too");
  heir.close();
  assert.ok(!existsSync(path));
});

test("if workers bind their own sockets, a predecessor's address does not count as in use", () => {
  const at = wanted(loopback(freePort()));
  const old = listeners();
  old.claim([at], 1, settings).keep();
  assert.throws(() => listeners([], false).claim([at], 1, settings), UsageError);
  const address = { endpoint: at.endpoint, fds: [], isActivated: false };
  assert.deepEqual(listeners([address], false).claim([at], 1, settings).fds, [[]]);
});

test("the service manager's socket stays open if no configuration uses it", () => {
  const at = wanted(loopback(freePort()));
  const opener = listeners();
  opener.claim([at], 1, settings).keep();
  const [activated] = opener.held[0]!.fds;
  const one = listeners();
  one.claim([{ ...at, activated: activated! }], 2, settings).keep();
  one.claim([], 2, settings).keep();
  assert.ok(listens(activated!));
});
