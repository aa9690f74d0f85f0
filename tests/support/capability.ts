/** What some builds cannot do is asked of them all the same: the answer must be a clear refusal. */
import assert from "node:assert/strict";
import type { Context } from "./context.ts";
import { freeEndpoint } from "./endpoints.ts";
import { runStud } from "./stud.ts";

type Running = Awaited<ReturnType<Context["stud"]>>;

/** Where the build cannot do it, it must say so and name the builds that can. */
export async function needs(
  context: Context,
  able: boolean,
  option: string,
  check: (stud: Running) => Promise<void>,
  { others = [], backend }: { others?: readonly string[]; backend?: number } = {},
): Promise<void> {
  if (able) {
    const port = backend ?? (await context.echo()).port;
    return await check(await context.stud([option, ...others], { backend: port }));
  }
  const { host, port } = await freeEndpoint();
  const words = [option, `--frontend=${host},${port}`, context.certificates.localhost];
  const { code, stderr } = await runStud(context.target, words);
  assert.equal(code, 1);
  assert.match(stderr, /^stud: .+\n$/);
  const name = option.split("=")[0]!;
  assert.ok(stderr.includes(name), `does not name ${name}: ${stderr}`);
  assert.match(stderr, /Bun/);
  assert.match(stderr, /Node/);
}
