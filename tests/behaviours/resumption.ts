/** Whether a returning client resumes its session; with one worker. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import type { Behaviour, Context } from "../support/context.ts";
import { decodeProxyV2 } from "../support/proxy_v2.ts";
import { within } from "../support/until.ts";
import { opensslVisit, VERSIONS, visit } from "../support/visits.ts";

export const resumption: readonly Behaviour[] = [
  ...(["TLSv1.2", "TLSv1.3"] as const).map((version): Behaviour => ({
    name: `a ${version} session resumes with one certificate`,
    async run(context) {
      assert.equal(await resumes(context, [context.certificates.localhost], version), true);
    },
  })),
  {
    name: "a session resumes with several certificates, except on rustls",
    async run(context) {
      const { a, localhost } = context.certificates;
      const expected = context.target.runtime !== "deno";
      assert.equal(await resumes(context, [a, localhost], "TLSv1.3"), expected);
    },
  },
  {
    name: "a client that always returns with its newest session always resumes",
    async run(context) {
      const stud = await context.stud(["-n", "1"], { backend: (await greeting(context)).port });
      for (const version of VERSIONS) {
        let { session } = await visit(stud.frontend, version);
        for (let i = 0; i < 6; i++) {
          const next = await visit(stud.frontend, version, session);
          assert.equal(next.isReused, true, `${version}, visit ${i}`);
          if (version === "TLSv1.3") assert.ok(!next.session.equals(session), `visit ${i}`);
          session = next.session;
        }
      }
    },
  },
  {
    name:
      "a session of TLSv1.2 does not resume under another name, except with BoringSSL if both have one certificate",
    needs: ["openssl"],
    async run(context) {
      const { runtime } = context.target;
      const { a, localhost } = context.certificates;
      const file = join(mkdtempSync(join(context.certificates.directory, "sessions-")), "session");
      for (const files of [[localhost], [a, localhost]]) {
        const stud = await context.stud(["-n", "1", ...files], {
          backend: (await greeting(context)).port,
        });
        const named = (name: string, ...words: readonly string[]) =>
          opensslVisit(stud.frontend, "-tls1_2", "-servername", name, ...words);
        assert.equal(await named("localhost", "-sess_out", file), "New");
        const own = runtime === "deno" && files.length > 1 ? "New" : "Reused";
        assert.equal(await named("LOCALHOST", "-sess_in", file), own);
        for (const other of ["a.example", "other.example"]) {
          const isAlike = files.length === 1 || other === "other.example";
          const expected = runtime === "bun" && isAlike ? "Reused" : "New";
          assert.equal(await named(other, "-sess_in", file), expected, other);
        }
      }
    },
  },
  ...VERSIONS.map((version): Behaviour => ({
    name: `a resumed ${version} connection announces the name that it asked for`,
    appliesTo: ({ tlsFacts }) => tlsFacts,
    async run(context) {
      const { a, localhost } = context.certificates;
      for (const files of [[localhost], [a, localhost]]) {
        const headers: Buffer[] = [];
        const backend = await context.backend((socket) => {
          socket.on("error", () => {}).once("data", (bytes: Buffer) => {
            headers.push(bytes);
            socket.end("welcome");
          });
        });
        const words = ["--write-proxy-v2", "--proxy-tlvs=authority", "-n", "1", ...files];
        const stud = await context.stud(words, { backend: backend.port });
        const name = { servername: "Localhost" };
        const { session } = await visit(stud.frontend, version, undefined, name);
        assert.equal((await visit(stud.frontend, version, session, name)).isReused, true);
        const announced = headers.map((header) => decodeProxyV2(header).authority);
        assert.deepEqual(announced, ["Localhost", "Localhost"]);
      }
    },
  })),
];

/** A backend that sends one word and closes. */
function greeting(context: Context) {
  return context.backend((socket) => socket.on("error", () => {}).end("welcome"));
}

async function resumes(
  context: Context,
  files: readonly string[],
  version: "TLSv1.2" | "TLSv1.3",
): Promise<boolean> {
  const stud = await context.stud(files, { backend: (await context.echo()).port });
  const visit = async (session?: Buffer) => {
    const versions = { minVersion: version, maxVersion: version };
    const client = await context.tls(stud.frontend, { ...versions, ...(session && { session }) });
    client.write("hello");
    // Tickets arrive with the first answer at the latest.
    await within(once(client, "data"), "an answer");
    return client;
  };
  const first = await visit();
  const second = await visit(first.getSession());
  return second.isSessionReused();
}
