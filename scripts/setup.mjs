// Installs the npm packages if they are missing or differ from package-lock.json.
// Plain JavaScript without dependencies: it runs on any Node that the machine has.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";

const root = fileURLToPath(new URL("..", import.meta.url));
const lock = readFileSync(`${root}package-lock.json`, "utf8");
const installed = `${root}node_modules/.installed-lock.json`;

if (!existsSync(installed) || readFileSync(installed, "utf8") !== lock) {
  console.error("installing the npm packages (once) ...");
  // The packages' install scripts put the runtimes in place, so they must run.
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) {
    console.error("npm ci failed; is the npm registry reachable?");
    process.exit(1);
  }
  // Deno's own package covers all platforms; this one is a part of it and has no link in .bin.
  const deno = `${root}node_modules/@deno/linux-x64-glibc/deno`;
  symlinkSync(deno, `${root}node_modules/.bin/deno`);
  writeFileSync(installed, lock);
}
