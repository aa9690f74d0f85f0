import { after, test } from "node:test";
import assert from "node:assert/strict";
import * as runtime from "#runtime";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { SOCK_CLOEXEC } from "../../src/os/constants.ts";
import { SOCK_DGRAM } from "../../src/os/constants.ts";
import { SOCK_STREAM } from "../../src/os/constants.ts";
import { AF_UNIX } from "../../src/os/constants.ts";
import { UsageError } from "../../src/base/errors.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { activatedSockets, type PassedSocket } from "../../src/system/activation.ts";
import { bareSocket, boundPort, loopback } from "../support/adapter.ts";
import { runTask } from "../support/system.ts";

const { capabilities }: Runtime = runtime;
const libc: Libc = runtime.libc;
const limit = { timeout: 60_000 };
const opened: number[] = [];
after(() => opened.forEach((fd) => libc.close(fd)));

function listening(): number {
  const fd = bareSocket(SOCK_STREAM | SOCK_CLOEXEC);
  opened.push(fd);
  assert.equal(libc.listen(fd, 5), 0);
  return fd;
}

/** In Linux's abstract namespace, so that no file is left. */
function listeningUnix(path: string): number {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  opened.push(fd);
  const address = sockaddr({ family: "unix", path });
  assert.equal(libc.bind(fd, address, address.length), 0);
  assert.equal(libc.listen(fd, 5), 0);
  return fd;
}

interface Activated {
  readonly sockets: PassedSocket[];
  readonly environment: string[];
}

test("passed sockets are found, with names and addresses", limit, async () => {
  const path = `@stud-test-${process.pid}`;
  const tcp = listening();
  const { facts } = await runTask<Activated>(["activated"], {
    fds: [tcp, listeningUnix(path)],
    environment: "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:local",
  });
  assert.deepEqual(facts.sockets, [
    { name: "web", fd: 3, endpoint: loopback(boundPort(tcp)) },
    { name: "local", fd: 4, endpoint: { family: "unix", path } },
  ]);
  assert.deepEqual(facts.environment.filter((name) => name.startsWith("LISTEN_")), []);
});

test("a socket without a name is called unknown", limit, async () => {
  const { facts } = await runTask<Activated>(["activated"], {
    fds: [listening(), listening()],
    environment: "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web",
  });
  assert.deepEqual(facts.sockets.map(({ name }) => name), ["web", "unknown"]);
});

test("workers inherit them under other numbers, and nothing else", {
  ...limit,
  skip: capabilities.adoptSockets ? false : "this runtime adopts no sockets",
}, async () => {
  const first = listening();
  const second = listening();
  const { facts } = await runTask<{ endpoints: Endpoint[]; sockets: Record<string, string> }>(
    ["pass-on"],
    { fds: [first, second], environment: "LISTEN_PID=$$ LISTEN_FDS=2" },
  );
  assert.deepEqual(facts.endpoints, [loopback(boundPort(first)), loopback(boundPort(second))]);
  assert.deepEqual(Object.keys(facts.sockets), ["3", "5", "6"]);
});

test("missing variables and those for another process are ignored", () => {
  const fds = { LISTEN_FDS: "1", LISTEN_FDNAMES: "web" };
  const cases: Record<string, string>[] = [
    {},
    fds,
    { ...fds, LISTEN_PID: "1" },
    { ...fds, LISTEN_PID: " 7" },
    { ...fds, LISTEN_PID: "07" },
    { LISTEN_PID: "7" },
    { LISTEN_PID: "7", LISTEN_FDS: "0" },
  ];
  for (const environment of cases) {
    const given = { PATH: "/bin", ...environment };
    assert.deepEqual(activatedSockets(libc, given, 7), [], JSON.stringify(environment));
    assert.deepEqual(given, { PATH: "/bin" });
  }
});

test("an invalid number and a socket that does not listen are refused in one line", async () => {
  for (const LISTEN_FDS of ["-1", "1.5", "x", "", "1025", "99999999999999999999"]) {
    assert.throws(
      () => activatedSockets(libc, { LISTEN_PID: "7", LISTEN_FDS }, 7),
      (error) => error instanceof UsageError && /^LISTEN_FDS: /.test(error.message),
      LISTEN_FDS,
    );
  }
  const bound = bareSocket(SOCK_STREAM | SOCK_CLOEXEC);
  const datagrams = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  opened.push(bound, datagrams);
  for (const fd of [bound, datagrams]) {
    const { facts } = await runTask<{ refused: string }>(["activated"], {
      fds: [fd],
      environment: "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web",
    });
    assert.match(facts.refused, /^LISTEN_FDS: descriptor 3 \(web\) is not a listening TCP or Unix/);
  }
});
