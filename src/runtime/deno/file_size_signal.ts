/**
 * A write beyond the limit of a file's size (`LimitFSIZE=`, `ulimit -f`) fails with an error, as on
 * the other runtimes, which ignore the signal; otherwise it would end the process. Import it for its
 * effect.
 */
import { dlopen } from "./api.ts";

const SIGXFSZ = 25;
const SIG_IGN = 1;

dlopen({ signal: ["i32", "u64"] }, "pointer").signal!(SIGXFSZ, SIG_IGN);
