/** `npm run check`: formatting, lint and types. Prints what failed and exits with 1. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = join(root, "node_modules", ".bin");

const checks: readonly [what: string, command: string, args: readonly string[]][] = [
  ["formatting", "deno", ["fmt", "--check", "--quiet"]],
  ["lint", "deno", ["lint", "--quiet"]],
  // The three conditions of `#runtime` are three programs.
  ["types (Node)", "tsc", ["-p", "."]],
  ["types (Bun)", "tsc", ["-p", ".", "--customConditions", "bun"]],
  ["types (Deno)", "tsc", ["-p", ".", "--customConditions", "deno"]],
  ["types (live page)", "tsc", ["-p", "src/admin/page/browser"]],
];

let failed = 0;
for (const [what, command, args] of checks) {
  const { status, stdout, stderr } = spawnSync(join(bin, command), args, {
    cwd: root,
    encoding: "utf8",
  });
  if (status === 0) continue;
  failed++;
  console.log(`check: ${what} failed\n${stdout}${stderr}`);
}
console.log(`check: ${checks.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
