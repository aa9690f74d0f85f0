/** Asks for a secret on the terminal of this process, and prints its hash. */
import { createHash } from "node:crypto";
import * as runtime from "#runtime";
import { controllingTerminal } from "../../src/certificates/terminal.ts";

const answer = controllingTerminal(runtime.libc).askSecretly("Secret? ");
console.log("hash", answer && createHash("sha256").update(answer).digest("hex"));
