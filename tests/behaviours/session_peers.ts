/** TLS 1.2 sessions sent from one stud to another. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomSecret } from "../../src/tickets/ring.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { helperOf, isAlive, userOf } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";
import { BY_ID, Client, parting } from "./session_cache.ts";
import { upgraded } from "./upgrade.ts";

/** The uid of `nobody`, which every system has. */
const NOBODY = 65534;
const GROUP = "239.77.1.2";
/** `nodad`: no duplicate address detection for the link's address. */
const NETWORK = "ip link set lo up && ip link add v0 type veth peer name v1 && " +
  "ip link set v0 addrgenmode none && ip link set v0 up && ip link set v1 up && " +
  "ip -6 addr add fe80::1/64 dev v0 nodad";

const shared = (behaviour: Behaviour): Behaviour => ({
  needs: ["openssl"],
  appliesTo: ({ sessionCache }) => sessionCache,
  ...behaviour,
});

export const sessionPeers: readonly Behaviour[] = [
  shared({
    name: "a session of one stud resumes at another, and vice versa",
    fromSource: true,
    async run(context) {
      const [first, second] = [await freeEndpoint(), await freeEndpoint()];
      const file = secretFile(context);
      const isRoot = process.getuid!() === 0;
      const jail = mkdtempSync(join(context.certificates.directory, "jail-"));
      const words = isRoot ? ["--user=nobody", `--chroot=${jail}`] : [];
      const one = await sharing(context, first, file, [peer(second), ...words]);
      const other = await sharing(context, second, file, [peer(first), ...words]);
      await resumesAt(context, one, other);
      await resumesAt(context, other, one);
      const helper = helperOf(one.pid, "@peers")!;
      if (isRoot) {
        assert.equal(userOf(helper), NOBODY);
        assert.equal(readlinkSync(`/proc/${helper}/root`), jail);
      }
      await one.stop();
      assert.ok(!isAlive(helper));
    },
  }),
  shared({
    name: "a session is sent to all members of a multicast group",
    async run(context) {
      const { port } = await freeEndpoint();
      const group = { host: GROUP, port };
      const file = secretFile(context);
      const words = [peer(group), "--shared-cache-if=lo"];
      const studs = [
        await sharing(context, group, file, words),
        await sharing(context, group, file, [peer(group), "--shared-cache-if=127.0.0.1,2"]),
        await sharing(context, group, file, words),
      ];
      for (const other of studs.slice(1)) await resumesAt(context, studs[0]!, other);
      const dropped = studs.flatMap(({ logs }) => logs).filter(isDropped);
      assert.deepEqual(dropped, [], "no stud reports its own packets");
    },
  }),
  shared({
    name: "a session is sent to all members of an IPv6 group, on the given interface",
    needs: ["openssl", "ss"],
    // Only root can create a namespace with an interface for such groups: lo has none.
    appliesTo: ({ sessionCache }) => sessionCache && process.getuid!() === 0,
    async run(context) {
      const group = { host: "ff02::4d:1", port: 7999 };
      const file = secretFile(context);
      const words = [peer(group), "--shared-cache-if=v0"];
      const start = (...within: string[]) => {
        const target = { ...context.target, command: [...within, ...context.target.command] };
        return sharing(context.like(target), group, file, words);
      };
      const one = await start("unshare", "--net", "sh", "-c", `${NETWORK} && exec "$0" "$@"`);
      const inside = ["nsenter", `--net=/proc/${one.pid}/ns/net`];
      const others = [await start(...inside), await start(...inside)];
      for (const other of others) await resumesAt(context, one, other, inside);
      assert.deepEqual([one, ...others].flatMap(({ logs }) => logs).filter(isDropped), []);
    },
  }),
  shared({
    name: "replayed and forged packets are dropped and logged, and the next one is accepted",
    waits: true,
    async run(context) {
      const [first, second] = [await freeEndpoint(), await freeEndpoint()];
      const file = secretFile(context);
      const wire = await tap(context);
      const one = await sharing(context, first, file, [peer(wire)]);
      const other = await sharing(context, second, file, []);
      const client = new Client(context, one.frontend, BY_ID);
      assert.equal(await client.resumes(), false);
      const packet = await wire.packet(0);
      const changed = Uint8Array.from(packet);
      changed[40]! ^= 1;
      const cases: [string, Uint8Array][] = [
        ["unverified", changed],
        ["size", Buffer.from("roses are red")],
        ["version", Buffer.alloc(200, 7)],
      ];
      for (const [code, bytes] of cases) {
        wire.socket.send(bytes, second.port, second.host);
        await other.waitForLog((line) => isDropped(line) && line.code === code, code);
      }
      assert.equal(await client.resumes(other.frontend), false);
      for (let i = 0; i < 3; i++) wire.socket.send(packet, second.port, second.host);
      await until(() => client.resumes(other.frontend), "the session");
      await other.waitForLog((line) => isDropped(line) && line.code === "replayed", "the replay");
      assert.equal(other.logs.filter(isDropped).length, 4, "each is logged once");
      const next = new Client(context, one.frontend, BY_ID);
      assert.equal(await next.resumes(), false);
      wire.socket.send(await wire.packet(1), second.port, second.host);
      await until(() => next.resumes(other.frontend), "the next session");
    },
  }),
  shared({
    name: "studs with different secrets share nothing, which is logged",
    async run(context) {
      const [first, second] = [await freeEndpoint(), await freeEndpoint()];
      const one = await sharing(context, first, secretFile(context), [peer(second)]);
      const other = await sharing(context, second, secretFile(context), []);
      const client = new Client(context, one.frontend, BY_ID);
      assert.equal(await client.resumes(), false);
      const line = await other.waitForLog(isDropped, "the packet");
      assert.match(line.message, /another --ticket-secret-file/);
      assert.equal(await client.resumes(other.frontend), false);
    },
  }),
  shared({
    name: "peers can be changed by a reload, and an upgrade keeps the address",
    fromSource: true,
    async run(context) {
      const [first, second] = [await freeEndpoint(), await freeEndpoint()];
      const file = secretFile(context);
      const config = join(mkdtempSync(join(context.certificates.directory, "peers-")), "conf");
      writeFileSync(config, "tickets = on\n");
      const one = await sharing(context, first, file, [`--config=${config}`]);
      const other = await sharing(context, second, file, []);
      writeFileSync(config, `shared-cache-peer = [${second.host}]:${second.port}\n`);
      one.signal("SIGHUP");
      await one.waitForLog(({ event }) => event === "reloaded", "the reload");
      await resumesAt(context, one, other);
      await upgraded(context, other, other.pid);
      await until(() => !isAlive(other.pid), "the first master exits");
      await resumesAt(context, one, other);
    },
  }),
  shared({
    name: "what cannot be shared is reported at start in one line",
    async run(context) {
      const taken = await tap(context);
      const free = await freeEndpoint();
      const cases: [Endpoint, readonly string[], RegExp][] = [
        [taken, [], /^stud: --shared-cache-listen: cannot listen on .+: the port is in use.+\n$/],
        [
          { host: "192.0.2.77", port: 9 },
          [],
          /^stud: --shared-cache-listen: cannot listen on .+: it is not an address of this.+\n$/,
        ],
        [
          free,
          [peer({ host: "::1", port: 9 })],
          /^stud: --shared-cache-peer: .+ cannot be reached from .+; give an IPv4 address\n$/,
        ],
        [
          free,
          ["--shared-cache-if=nowhere0"],
          /^stud: --shared-cache-if: this machine has no interface nowhere0; .+\n$/,
        ],
        [
          { host: GROUP, port: 9 },
          ["--shared-cache-if=4000000"],
          /^stud: --shared-cache-if: this machine has no interface 4000000; .+\n$/,
        ],
      ];
      for (const [listen, words, expected] of cases) {
        const all = sharingWords(listen, secretFile(context), words);
        const stud = await context.launch(["--log-format=text", ...all], { backend: 9 });
        const { code } = await within(stud.exited, "the refusal");
        assert.equal(code, 1);
        assert.match(stud.stderr, expected);
      }
    },
  }),
];

async function sharing(
  context: Context,
  listen: Endpoint,
  secret: string,
  words: readonly string[],
): Promise<Stud> {
  const backend = await parting(context);
  return await context.stud(sharingWords(listen, secret, words), { backend });
}

function sharingWords(listen: Endpoint, secret: string, words: readonly string[]): string[] {
  const address = `--shared-cache-listen=[${listen.host}]:${listen.port}`;
  return ["--shared-cache=100", address, `--ticket-secret-file=${secret}`, ...words];
}

function peer({ host, port }: Endpoint): string {
  return `--shared-cache-peer=[${host}]:${port}`;
}

function secretFile({ certificates }: Context): string {
  const file = join(mkdtempSync(join(certificates.directory, "secret-")), "secret");
  writeFileSync(file, randomSecret(), { mode: 0o600 });
  return file;
}

/** Waits for the session: packets and the start of the helpers take time. */
async function resumesAt(
  context: Context,
  from: Stud,
  to: Stud,
  within: readonly string[] = [],
): Promise<void> {
  const client = new Client(context, from.frontend, BY_ID, within);
  assert.equal(await client.resumes(), false);
  await until(() => client.resumes(to.frontend), "the session at the other stud");
}

function isDropped({ event }: { readonly event: string }): boolean {
  return event === "session-dropped";
}

/** A peer that keeps the packets it receives. */
async function tap(
  context: Context,
): Promise<Endpoint & { socket: Socket; packet(number: number): Promise<Buffer> }> {
  const end = new AbortController();
  const socket = createSocket({ type: "udp4", signal: end.signal });
  context.after(() => end.abort());
  const packets: Buffer[] = [];
  socket.on("message", (packet) => packets.push(packet));
  const { host } = await freeEndpoint();
  socket.bind(0, host);
  await once(socket, "listening");
  const packet = (number: number) => until(() => packets[number], "a packet") as Promise<Buffer>;
  return { host, port: socket.address().port, socket, packet };
}
