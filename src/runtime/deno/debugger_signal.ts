/**
 * Keeps SIGUSR1 from opening Deno's debugger. Import it early, for its effect.
 *
 * Half a second after the start, Deno (since 2.9.2) opens its inspector on 127.0.0.1:9229 at SIGUSR1,
 * whether or not the program handles the signal, and every local user could then run code in this
 * process. No flag turns that off, so the kernel ignores the signal.
 */
import process from "node:process";
import { dlopen } from "./api.ts";

const SIGUSR1 = 10;
const SIG_IGN = 1;
/** The inspector starts listening for the signal after 500 ms; in milliseconds since the start. */
const GRACE_MS = 300;
/** The inspector opens within this many milliseconds after a signal that had already arrived. */
const LATE_MS = 1000;
const INTERVAL_MS = 5;

// Deno sets the kernel's action once, for the first listener. With this one, the inspector's own
// listener, which comes later, leaves the action as it is.
process.on("SIGUSR1", () => {});
dlopen({ signal: ["i32", "u64"] }, "pointer").signal!(SIGUSR1, SIG_IGN);

// Only a slow start loads the module below.
if (performance.now() > GRACE_MS) closeInspector();

/** Closes the inspector if a signal opened it before this module, or is about to. */
function closeInspector(): void {
  const inspector = process.getBuiltinModule("node:inspector");
  const end = performance.now() + LATE_MS;
  const check = () => {
    if (inspector.url() !== undefined) inspector.close();
    if (performance.now() > end) clearInterval(timer);
  };
  const timer = setInterval(check, INTERVAL_MS);
  timer.unref();
  check();
}
