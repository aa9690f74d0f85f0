/** The master's cache of TLS 1.2 sessions for clients without tickets, shared by all workers. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { refuses } from "../support/capability.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { hold } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

/** Without tickets. */
export const BY_ID = ["-tls1_2", "-no_ticket"];
const BY_TICKET = ["-tls1_2"];
const TLS13 = ["-tls1_3"];

const cached = (behaviour: Behaviour): Behaviour => ({
  needs: ["openssl"],
  appliesTo: ({ sessionCache }) => sessionCache,
  ...behaviour,
});

export const sessionCache: readonly Behaviour[] = [
  {
    name: "--shared-cache is refused by builds whose TLS library does not expose its sessions",
    appliesTo: ({ sessionCache }) => !sessionCache,
    async run(context) {
      await refuses(context, "sessionCache", ["--shared-cache=100"]);
    },
  },
  cached({
    name: "a session id resumes on another worker",
    async run(context) {
      const stud = await sharing(context, ["-n", "2", "-L", "2"]);
      const client = new Client(context, stud.frontend, BY_ID);
      assert.equal(await client.resumes(), false);
      const workers = () => new Set(established(stud).map(({ worker }) => worker));
      await until(async () => {
        await client.comesBack();
        return workers().size === 2;
      }, "connections to both workers");
    },
  }),
  cached({
    name: "a session outlives its worker, new certificates, and a new generation of workers",
    async run(context) {
      const { a, localhost } = context.certificates;
      const file = join(mkdtempSync(join(context.certificates.directory, "cache-")), "conf");
      writeFileSync(file, "keepalive = 100\n");
      const stud = await sharing(context, [`--config=${file}`, a, localhost]);
      const client = new Client(context, stud.frontend, BY_ID);
      assert.equal(await client.resumes(), false);
      // Now the master has it; the worker's death could have prevented that.
      await client.comesBack();
      const worker = stud.worker();
      process.kill(worker, "SIGKILL");
      await until(() => stud.workers().some((pid) => pid !== worker), "another worker");
      await client.comesBack();
      for (const what of [/running workers/, /generation 2/]) {
        stud.signal("SIGHUP");
        await stud.waitForLog(({ message }) => what.test(message), `${what}`);
        await client.comesBack();
        writeFileSync(file, "keepalive = 200\n");
      }
    },
  }),
  cached({
    name: "without --shared-cache no session id resumes",
    async run(context) {
      const stud = await context.stud([], { backend: await parting(context) });
      const client = new Client(context, stud.frontend, BY_ID);
      assert.equal(await client.resumes(), false);
      assert.equal(await client.resumes(), false);
    },
  }),
  cached({
    name: "the cache is limited, and evicts the session unused for the longest time",
    async run(context) {
      const stud = await sharing(context, ["--shared-cache=2"]);
      // A late answer from the master causes another full handshake, and so one more session.
      await until(async () => {
        const clients = Array.from(
          { length: 3 },
          () => new Client(context, stud.frontend, BY_ID),
        );
        for (const client of clients) assert.equal(await client.resumes(), false);
        const others = [await clients[1]!.resumes(), await clients[2]!.resumes()];
        assert.equal(await clients[0]!.resumes(), false);
        return others.every((isResumed) => isResumed);
      }, "the last two sessions");
    },
  }),
  cached({
    name: "a session expires after --session-timeout",
    async run(context) {
      const stud = await sharing(context, ["--session-timeout=1"]);
      const client = new Client(context, stud.frontend, BY_ID);
      assert.equal(await client.resumes(), false);
      await until(async () => !await client.resumes(), "a full handshake");
    },
  }),
  cached({
    name: "clients with tickets resume with those, and TLS 1.3 without tickets does not resume",
    async run(context) {
      for (const [words, again] of [[[], true], [["--tickets=off"], false]] as const) {
        const stud = await sharing(context, words);
        const client = new Client(context, stud.frontend, TLS13);
        assert.equal(await client.resumes(), false);
        assert.equal(await client.resumes(), again);
      }
      const stud = await sharing(context, ["--tickets=off"]);
      const client = new Client(context, stud.frontend, BY_TICKET);
      assert.equal(await client.resumes(), false);
      await client.comesBack();
    },
  }),
  cached({
    name:
      "resume-across-trust-policy by id: no open session is resumed at a frontend that verifies",
    async run(context) {
      const { localhost, ca } = context.certificates;
      const [open, closed] = [await freeEndpoint(), await freeEndpoint()];
      const block = ({ host, port }: Endpoint) => `host = "${host}" port = "${port}"`;
      const file = join(mkdtempSync(join(context.certificates.directory, "cache-")), "conf");
      writeFileSync(
        file,
        `frontend = { ${block(open)} }
         frontend = { ${block(closed)} client-verify = required client-verify-ca = "${ca}" }
         pem-file = "${localhost}"
         backend = "[127.0.0.1]:${await parting(context)}"
         workers = 1
         log-format = "json"
         shared-cache = 100\n`,
      );
      await context.stud([`--config=${file}`], { backend: 1, frontend: open, exact: true });
      const client = new Client(context, open, BY_ID);
      assert.equal(await client.resumes(), false);
      await client.comesBack();
      assert.equal(await client.resumes(closed), undefined);
      const known = new Client(context, closed, [...BY_ID, "-cert", localhost]);
      assert.equal(await known.resumes(), false);
      await known.comesBack();
      assert.equal(await known.resumes(open), false, "nor vice versa");
    },
  }),
  cached({
    name: "without an answer from the master sessions do not resume, but connections work",
    async run(context) {
      const stud = await sharing(context, []);
      const client = new Client(context, stud.frontend, BY_ID);
      assert.equal(await client.resumes(), false);
      await hold(stud.pid);
      try {
        assert.equal(await client.resumes(), false);
      } finally {
        stud.signal("SIGCONT");
      }
    },
  }),
];

async function sharing(context: Context, words: readonly string[]): Promise<Stud> {
  return await context.stud(["--shared-cache=100", ...words], { backend: await parting(context) });
}

/** The port of a backend that closes each connection, so that its clients read everything. */
export async function parting(context: Context): Promise<number> {
  const { port } = await context.backend((socket) => socket.end("bye"));
  return port;
}

function established(stud: Stud) {
  return stud.logs.filter(({ event }) => event === "connection-established");
}

/** `openssl s_client` with the last session that it received. */
export class Client {
  private readonly endpoint: Endpoint;
  private readonly words: readonly string[];
  private readonly file: string;
  private readonly within: readonly string[];

  /** `within` is a command that runs another one, like `nsenter`. */
  constructor(
    { certificates }: Context,
    endpoint: Endpoint,
    words: readonly string[],
    within: readonly string[] = [],
  ) {
    this.endpoint = endpoint;
    this.words = words;
    this.within = within;
    this.file = join(mkdtempSync(join(certificates.directory, "session-")), "session");
  }

  /** Whether its session was resumed; undefined: the handshake failed. */
  async resumes(endpoint: Endpoint = this.endpoint): Promise<boolean | undefined> {
    const address = ["-connect", endpointText(endpoint), "-servername", "localhost"];
    const session = existsSync(this.file) ? ["-sess_in", this.file] : ["-sess_out", this.file];
    const command = [...this.within, "openssl", "s_client", ...address, ...this.words];
    const [program, ...words] = [...command, ...session, "-ign_eof"];
    const { code, stdout } = await run(program!, words);
    if (code !== 0) return undefined;
    return /^Reused, /m.test(stdout);
  }

  /**
   * Waits until its session is resumed. A worker without the master's answer within a second does a
   * full handshake, which leaves the session in the cache.
   */
  async comesBack(): Promise<void> {
    await until(() => this.resumes(), "a resumed session");
  }
}
