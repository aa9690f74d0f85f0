/** Every byte arrives, in order, in both directions. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { exchange, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { within } from "../support/until.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

export const integrity: readonly Behaviour[] = [
  ...[0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, MIB].map((size): Behaviour => ({
    name: `${size} bytes are echoed unchanged`,
    run: (context) => comesBack(context, size),
  })),
  {
    name: "100 MiB cross in both directions at once",
    run: (context) => comesBack(context, 100 * MIB),
  },
  {
    name: "bytes sent one by one arrive in order",
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      const socket = await context.tls(stud.frontend, { noDelay: true });
      const sent = randomBytes(300);
      const answer = readAll(socket);
      for (const byte of sent) {
        await new Promise((written) => socket.write(Buffer.of(byte), written));
      }
      socket.end();
      assert.deepEqual(await answer, sent);
    },
  },
  {
    name: "200 concurrent connections do not mix their bytes",
    async run(context) {
      const stud = await context.stud(["-n", "2"], { backend: (await context.echo()).port });
      const one = async () => {
        const sent = randomBytes(40 * KIB);
        assert.ok(sent.equals(await exchange(stud.frontend, sent)));
      };
      await Promise.all(Array.from({ length: 200 }, one));
      assert.deepEqual(stud.failures(), []);
    },
  },
  {
    name: "a slow client receives all 8 MiB of a backend that closes right after sending them",
    async run(context) {
      const sent = randomBytes(8 * MIB);
      const backend = await context.backend((socket) => socket.resume().end(sent));
      const stud = await context.stud([], { backend: backend.port });
      const socket = await context.tls(stud.frontend);
      const received: Buffer[] = [];
      for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
        received.push(chunk);
        if (received.length % 16 === 0) await new Promise((later) => setImmediate(later));
      }
      assert.ok(sent.equals(Buffer.concat(received)));
      socket.end();
    },
  },
];

async function comesBack(context: Context, size: number): Promise<void> {
  const stud = await context.stud([], { backend: (await context.echo()).port });
  const socket = await context.tls(stud.frontend);
  const block = randomBytes(Math.min(size, MIB));
  const sent = createHash("sha256");
  const received = createHash("sha256");
  const source = Readable.from(
    (function* () {
      for (let at = 0; at < size; at += block.length) {
        const chunk = block.subarray(0, Math.min(block.length, size - at));
        if (chunk.length === MIB) chunk.writeUInt32BE(at / MIB);
        sent.update(chunk);
        yield Buffer.from(chunk);
      }
    })(),
    { objectMode: false },
  );
  let count = 0;
  const sending = pipeline(source, socket, { end: true });
  const receiving = (async () => {
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      received.update(chunk);
      count += chunk.length;
    }
  })();
  await within(Promise.all([sending, receiving]), `${size} bytes there and back`, 120_000);
  assert.equal(count, size);
  assert.equal(received.digest("hex"), sent.digest("hex"));
  assert.deepEqual(stud.failures(), []);
}
