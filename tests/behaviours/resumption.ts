/** Whether a returning client resumes its session; with one worker. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Behaviour, Context } from "../support/context.ts";
import { within } from "../support/until.ts";

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
];

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
