/** Socket options as the kernel reports them. */
import assert from "node:assert/strict";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, endpointText } from "../support/endpoints.ts";
import {
  socketOptions,
  TCP_FASTOPEN,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from "../support/socket_options.ts";
import { until } from "../support/until.ts";

export const sockets: readonly Behaviour[] = [
  {
    name: "--backlog applies to every listening socket, as ss shows",
    needs: ["ss"],
    async run(context) {
      const backend = (await context.echo()).port;
      const stud = await context.stud(["--backlog=321", "-n", "2"], { backend });
      const lines = await listening(stud.frontend);
      assert.ok(lines.length >= 2, lines.join("\n"));
      // State, queued, limit.
      for (const line of lines) assert.equal(line.split(/\s+/)[2], "321", line);
    },
  },
  {
    name: "--keepalive applies to client connections",
    needs: ["ss"],
    async run(context) {
      const stud = await echoing(context, ["--keepalive=1234"]);
      await context.tls(stud);
      // Until the last acknowledgement another timer is running.
      await until(
        async () => /timer:\(keepalive,20min/.test((await established(stud))[0]!),
        "a keepalive timer of 20 minutes",
      );
    },
  },
  {
    name:
      "--tcp-user-timeout applies to client connections, and closes one whose client reads nothing",
    async run(context) {
      const backend = await context.backend();
      const stud = await context.stud(["--tcp-user-timeout=1.5"], { backend: backend.port });
      const client = await context.tls(stud.frontend);
      const server = await backend.accept();
      const options = { listening: false, option: TCP_USER_TIMEOUT };
      const values = (await socketOptions(stud.worker(), options)).sort((a, b) => a - b);
      assert.deepEqual(values, [0, 1500], "the backend's connection, and the client's");
      client.pause();
      server.on("error", () => {});
      server.write(Buffer.alloc(64 * 1024 * 1024));
      const isOver = () => stud.failures().length > 0;
      await until(isOver, "the connection closes");
      assert.match(stud.failures().join(), /^client client-reset/);
    },
  },
  {
    name: "--recv-bufsize and --send-bufsize bound the buffers of client connections",
    needs: ["ss"],
    async run(context) {
      const stud = await echoing(context, ["--recv-bufsize=30000", "--send-bufsize=40000"]);
      await context.tls(stud);
      const [line] = await established(stud);
      // The kernel doubles the given value (socket(7)).
      assert.match(line!, /\brb60000\b/);
      assert.match(line!, /\btb80000\b/);
    },
  },
  {
    name: "--enable-tcp-fastopen gives every listening socket a fast open queue",
    async run(context) {
      const backend = (await context.echo()).port;
      const stud = await context.stud(["--enable-tcp-fastopen", "--backlog=77"], { backend });
      const queues = await socketOptions(stud.worker(), { listening: true, option: TCP_FASTOPEN });
      assert.ok(queues.length >= 1);
      assert.deepEqual([...new Set(queues)], [77]);
    },
  },
  {
    name: "TCP_NODELAY is on for both sides of a connection",
    async run(context) {
      const backend = await context.echo();
      const stud = await context.stud([], { backend: backend.port });
      const client = await context.tls(stud.frontend);
      client.write("hello");
      await until(() => String(client.read() ?? "") === "hello", "the echo");
      const options = { listening: false, option: TCP_NODELAY };
      // The kernel reports any number but 0 for on.
      const isOn = (await socketOptions(stud.worker(), options)).map((value) => value !== 0);
      assert.deepEqual(isOn, [true, true]);
    },
  },
];

async function echoing(context: Context, words: readonly string[]): Promise<Endpoint> {
  return (await context.stud(words, { backend: (await context.echo()).port })).frontend;
}

function listening(endpoint: Endpoint): Promise<string[]> {
  return ss(["-ltnH", "src", endpointText(endpoint)]);
}

/** Connections from the server's point of view. */
function established(endpoint: Endpoint): Promise<string[]> {
  return ss(["-tnHomi", "state", "established", "src", endpointText(endpoint)]);
}

/** One line for each socket. */
async function ss(words: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await run("ss", ["-O", ...words]);
  assert.equal(code, 0, stderr);
  return stdout.split("\n").filter((line) => line !== "");
}
