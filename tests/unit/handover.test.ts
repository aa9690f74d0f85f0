import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import * as runtime from "#runtime";
import { UsageError } from "../../src/base/errors.ts";
import { cString } from "../../src/os/structures.ts";
import { MFD_CLOEXEC } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import {
  type Handover,
  readHandover,
  renumbered,
  writeHandover,
} from "../../src/upgrade/handover.ts";
import { loopback } from "../support/adapter.ts";

const libc: Libc = runtime.libc;

const full: Handover = {
  pid: 4,
  isDaemon: true,
  addresses: [
    { endpoint: loopback(443), fds: [21, 30], isActivated: false },
    { endpoint: { family: "unix", path: "/run/stud.sock" }, fds: [12, 12], isActivated: false },
    { endpoint: loopback(8443), fds: [7, 7], isActivated: true },
  ],
  activated: [
    { name: "https", fd: 7, endpoint: loopback(8443) },
    { name: "unused", fd: 8, endpoint: loopback(9443) },
  ],
  admin: [{ endpoint: loopback(9100), fds: [31], isActivated: false }],
  lateCounts: 9,
  pidFile: { path: "/run/stud.pid", fd: 5 },
};

function memory(text: string): number {
  const fd = libc.memfd_create(cString("test"), MFD_CLOEXEC);
  const bytes = new TextEncoder().encode(text);
  assert.equal(libc.write(fd, bytes, bytes.length), bytes.length);
  return fd;
}

test("each descriptor is passed once and gets the successor's number", () => {
  const { handover, fds } = renumbered(full, 5);
  assert.deepEqual(fds, [21, 30, 12, 7, 31, 8, 9, 5]);
  assert.deepEqual(handover, {
    pid: 4,
    isDaemon: true,
    addresses: [
      { endpoint: loopback(443), fds: [5, 6], isActivated: false },
      { endpoint: { family: "unix", path: "/run/stud.sock" }, fds: [7, 7], isActivated: false },
      { endpoint: loopback(8443), fds: [8, 8], isActivated: true },
    ],
    activated: [
      { name: "https", fd: 8, endpoint: loopback(8443) },
      { name: "unused", fd: 10, endpoint: loopback(9443) },
    ],
    admin: [{ endpoint: loopback(9100), fds: [9], isActivated: false }],
    lateCounts: 11,
    pidFile: { path: "/run/stud.pid", fd: 12 },
  });
});

test("addresses without descriptors are passed too", () => {
  const bare = { endpoint: loopback(443), fds: [], isActivated: false };
  const handover = { pid: 4, isDaemon: false, addresses: [bare], activated: [] };
  assert.deepEqual(renumbered(handover, 5), { handover: { ...handover, admin: [] }, fds: [] });
});

test("a handover is read as it was written, and its descriptor is closed", () => {
  const many = Array.from({ length: 5000 }, (_, port) => ({
    endpoint: loopback(port),
    fds: [],
    isActivated: false,
  }));
  const handover = { pid: 4, isDaemon: false, addresses: many, activated: [] };
  assert.deepEqual(readHandover(libc, writeHandover(libc, handover)), handover);
  const open = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // The descriptor with which the directory was read.
      return "";
    }
  });
  assert.deepEqual(open.filter((file) => file.includes("memfd:handover")), []);
});

test("a handover in another format is rejected", () => {
  const fd = memory(JSON.stringify({ form: 1, sockets: [] }));
  assert.throws(
    () => readHandover(libc, fd),
    (error) => error instanceof UsageError && /another format; stop it/.test(error.message),
  );
});
