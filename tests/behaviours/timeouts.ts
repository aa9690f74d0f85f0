/** How long a connection may be idle, and how long it may last. */
import assert from "node:assert/strict";
import { ending, readAll, recordTypes } from "../support/client.ts";
import type { Behaviour } from "../support/context.ts";
import { within } from "../support/until.ts";
import { ALERT, ends } from "./close.ts";

const CUT = ["ECONNRESET", "ECONNRESET"];

export const timeouts: readonly Behaviour[] = [
  {
    name: "an idle connection is closed cleanly on both sides after --idle-timeout",
    run: (context) => {
      const args = ["--idle-timeout=0.4"];
      return ends(context, { args, expect: ["limit idle-timeout"] }, async ({ stud, backend }) => {
        const wire = await context.wire(stud.frontend);
        const client = await context.tls(wire.entry, { maxVersion: "TLSv1.2" });
        const server = await backend.accept();
        const [answer, question] = await Promise.all([readAll(client), readAll(server)]);
        assert.equal(answer.length + question.length, 0);
        assert.equal(recordTypes(wire.received).at(-1), ALERT);
        client.end();
        server.end();
      });
    },
  },
  {
    name: "a connection that is not idle outlives --idle-timeout",
    waits: true,
    run: (context) =>
      ends(context, { args: ["--idle-timeout=4"], expect: [] }, async ({ stud, backend }) => {
        const client = await context.tls(stud.frontend);
        const server = await backend.accept();
        server.pipe(server);
        const echo = readAll(client);
        let sent = 0;
        // For longer than the limit, a byte every twentieth of it.
        await within(
          new Promise<void>((done) => {
            const timer = setInterval(() => {
              client.write(".");
              if (++sent < 32) return;
              clearInterval(timer);
              done();
            }, 200);
          }),
          "a slow exchange",
        );
        client.end();
        assert.equal((await echo).length, sent);
      }),
  },
  {
    name: "a busy connection is cut on both sides after --max-lifetime, without close_notify",
    waits: true,
    run: (context) => {
      const args = ["--max-lifetime=5"];
      return ends(context, { args, expect: ["limit lifetime"] }, async ({ stud, backend }) => {
        const wire = await context.wire(stud.frontend);
        const client = await context.tls(wire.entry, { maxVersion: "TLSv1.2" });
        const server = await backend.accept();
        const talk = setInterval(() => server.write("x"), 20);
        context.after(() => clearInterval(talk));
        client.on("error", () => {});
        assert.deepEqual(await Promise.all([ending(wire.socket), ending(server)]), CUT);
        assert.notEqual(recordTypes(wire.received).at(-1), ALERT);
        clearInterval(talk);
      });
    },
  },
  {
    name: "peers that do not close after --idle-timeout are cut after --half-close-timeout",
    run: (context) => {
      const args = ["--idle-timeout=0.4", "--half-close-timeout=0.4"];
      return ends(context, { args, expect: ["limit idle-timeout"] }, async ({ stud, backend }) => {
        const client = await context.tls(stud.frontend);
        const server = await backend.accept();
        await Promise.all([readAll(client), readAll(server)]);
        // Writing to a connection that was cut is answered with RST.
        const cut = Promise.all([ending(client), ending(server)]);
        const talk = setInterval(() => [client, server].forEach((each) => each.write("x")), 50);
        context.after(() => clearInterval(talk));
        for (const how of await within(cut, "the cut")) assert.match(how, /^(ECONNRESET|EPIPE)$/);
        clearInterval(talk);
      });
    },
  },
];
