/** A slow start of the Deno adapter, for tests/unit/runtime_debugger_signal.test.ts. */
import inspector from "node:inspector";
import process from "node:process";
import { until } from "./until.ts";

// Without a listener the signal would end the process until Deno listens, too.
process.on("SIGUSR1", () => {});
await until(() => {
  process.kill(process.pid, "SIGUSR1");
  return inspector.url();
}, "the inspector");
if (process.argv[2] === "again") {
  // The signal that arrives in the same turn opens it after the adapter's first check.
  inspector.close();
  process.kill(process.pid, "SIGUSR1");
}
await import("../../src/runtime/deno/debugger_signal.ts");
await until(() => inspector.url() === undefined, "the end of the inspector");
for (let i = 0; i < 3; i++) process.kill(process.pid, "SIGUSR1");
await new Promise((resolve) => setTimeout(resolve, 500));
console.log(inspector.url() ?? "closed");
