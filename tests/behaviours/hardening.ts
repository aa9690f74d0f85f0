/** What a worker is allowed to do and to know, and on which core it runs. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import type { Behaviour } from "../support/context.ts";
import { ofThreads } from "../support/processes.ts";

/** Set for the masters that this file starts. */
const SECRET = "STUD_TEST_SECRET";

export const hardening: readonly Behaviour[] = [
  {
    name: "no thread of a worker can gain privileges",
    async run(context) {
      const stud = await context.stud(["-n", "2"], { backend: 1 });
      for (const pid of stud.workers()) {
        for (const status of ofThreads(pid, (of) => readFileSync(`${of}/status`, "utf8"))) {
          assert.match(status, /^NoNewPrivs:\s+1$/m);
        }
      }
    },
  },
  {
    name: "the master's environment stays with the master",
    fromSource: true,
    async run(context) {
      process.env[SECRET] = "known to the master only";
      const stud = await context.stud([], { backend: 1 });
      const environment = (pid: number) => readFileSync(`/proc/${pid}/environ`, "utf8");
      assert.ok(environment(stud.pid).includes(SECRET));
      assert.ok(!environment(stud.worker()).includes(SECRET));
    },
  },
  {
    name: "the key is neither in a worker's arguments nor in its environment",
    fromSource: true,
    async run(context) {
      const stud = await context.stud([], { backend: 1 });
      for (const file of ["cmdline", "environ"]) {
        const text = readFileSync(`/proc/${stud.worker()}/${file}`, "utf8");
        assert.ok(!text.includes("BEGIN") && !text.includes(".pem"), file);
      }
    },
  },
  {
    name: "--pin-workers pins each worker to its own core",
    async run(context) {
      const stud = await context.stud(["-n", "2", "--pin-workers"], { backend: 1 });
      const cores = stud.workers().map((pid) =>
        /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
      );
      assert.ok(cores.every((core) => /^\d+$/.test(core!)), `cores ${cores}`);
    },
  },
  {
    name: "post-quantum key exchange is available by default",
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      const client = connect({
        ...stud.frontend,
        rejectUnauthorized: false,
        ecdhCurve: "X25519MLKEM768",
      });
      client.end("hello");
      const answer = await new Promise((resolve, reject) =>
        client.once("error", reject).once("data", resolve)
      );
      assert.equal(String(answer), "hello");
      const group = client.getEphemeralKeyInfo() as { name?: string } | null;
      assert.equal(group?.name, "X25519MLKEM768");
      client.destroy();
    },
  },
];
