/** Builds that lack a capability are tested too: they must refuse its options clearly. */
import assert from "node:assert/strict";
import type { Context } from "./context.ts";
import { freeEndpoint } from "./endpoints.ts";
import { runStud } from "./stud.ts";
import { type Ability, buildsWith } from "./target.ts";

type Running = Awaited<ReturnType<Context["stud"]>>;

/** Checks a stud with these options; a build without the capability must refuse the first one. */
export async function needs(
  context: Context,
  ability: Ability,
  option: string,
  check: (stud: Running) => Promise<void>,
  { others = [], backend }: { others?: readonly string[]; backend?: number } = {},
): Promise<void> {
  if (!context.target[ability]) return await refuses(context, ability, [option, ...others]);
  const port = backend ?? (await context.echo()).port;
  return await check(await context.stud([option, ...others], { backend: port }));
}

/** Checks that the first word is refused by a line that names it and the builds that support it. */
export async function refuses(
  context: Context,
  ability: Ability,
  words: readonly string[],
): Promise<void> {
  const { host, port } = await freeEndpoint();
  const all = [...words, `--frontend=${host},${port}`, context.certificates.localhost];
  const { code, stderr } = await runStud(context.target, all);
  assert.equal(code, 1);
  assert.match(stderr, /^(stud: .+\n)+$/);
  const name = words[0]!.split("=")[0]!;
  const line = stderr.split("\n").find((line) => line.includes(name));
  assert.ok(line, `does not name ${name}: ${stderr}`);
  for (const build of buildsWith(ability)) assert.ok(line.includes(build), line);
}
