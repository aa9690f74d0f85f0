/**
 * stud: terminates TLS and forwards the plain bytes to a backend, on every core.
 * The one place where a runtime is chosen: `#runtime` is its adapter (see package.json, "imports").
 */
import "./src/service/early_signals.ts";
import * as runtime from "#runtime";
import { main } from "./src/main.ts";

main(runtime);
