/** The commands of docs/monitoring.md. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openTls } from "../support/client.ts";
import { run, serve } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { root } from "../support/target.ts";
import { until } from "../support/until.ts";

const TOKEN = "0123456789abcdef";

export const monitoring: readonly Behaviour[] = [
  {
    name: "the documented commands work, and fail if something is wrong",
    needs: ["curl", "jq", "openssl"],
    // The commands are the same code in every build.
    appliesTo: ({ name }) => name === "dist-stud",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "monitoring-"));
      const at = await setting(context, directory);
      const { blocks, healthCheck } = documented();
      const checks = blocks.filter((block) => /jq -es|^stud status$|readyz|healthz/.test(block));
      assert.ok(blocks.length >= 10 && checks.length >= 7, "found the commands");
      const shell = async (command: string, where: "well" | "broken" = "well") => {
        const prepared = at[where].reduce((text, [from, to]) => text.replaceAll(from, to), command);
        // In a shell of its own, a word `stud` is the program under test.
        const program = `stud() { ${at.program} "$@" ${at.options[where]}; }\n`;
        return await run("sh", ["-c", program + prepared]);
      };
      for (const block of blocks) {
        const { code, stderr } = await shell(block);
        assert.deepEqual([code, stderr], [0, ""], block);
      }
      assert.equal((await shell(healthCheck)).code, 0);
      const exported = readFileSync(join(directory, "stud.prom"), "utf8");
      assert.match(exported, /^stud_ready 1$/m);

      await at.break();
      const ofStatus = checks.filter((block) => block.startsWith("stud status"));
      for (const block of ofStatus) {
        const { code } = await shell(block, "broken");
        assert.equal(code, block.endsWith("exit 2") ? 2 : 1, block);
      }
      assert.equal((await shell(healthCheck, "broken")).code, 0, "degraded, but it serves");
      await at.stop();
      assert.equal((await shell(healthCheck, "broken")).code, 1, "away");
      // jq 1.6 exits with 0 if its input is empty, even with -e.
      for (const block of ofStatus) {
        const { code } = await shell(block, "broken");
        assert.notEqual(code, 0, `away: ${block}`);
      }
    },
  },
  {
    name: "Prometheus scrapes with the example configuration, and its rules see what is wrong",
    needs: ["curl", "openssl", "prometheus"],
    appliesTo: ({ name }) => name === "dist-stud",
    // Prometheus first scrapes some seconds after its start.
    waits: true,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "prometheus-"));
      const [admin, own] = [await freeEndpoint(), await freeEndpoint()];
      cpSync(join(root, "contrib", "prometheus"), directory, { recursive: true });
      const token = join(directory, "stud.token");
      writeFileSync(token, `${TOKEN}\n`, { mode: 0o600 });
      await context.stud(
        [
          ...[`--admin=127.0.0.1:${admin.port}`, `--admin-token-file=${token}`],
          await certificate(directory, 5),
        ],
        { backend: (await context.echo()).port },
      );
      const config = join(directory, "prometheus.yml");
      const text = readFileSync(config, "utf8")
        .replaceAll("127.0.0.1:9443", `127.0.0.1:${admin.port}`).replaceAll("15s", "1s");
      writeFileSync(config, text);
      const prometheus = serve("prometheus", [
        ...[`--config.file=${config}`, `--storage.tsdb.path=${join(directory, "data")}`],
        `--web.listen-address=127.0.0.1:${own.port}`,
      ]);
      context.after(() => prometheus.stop());
      await until(async () => {
        const alerts = `http://127.0.0.1:${own.port}/api/v1/alerts`;
        const { stdout } = await run("curl", ["--fail", "--silent", alerts]);
        // It does not listen yet, or answers 503 while it starts.
        if (stdout === "") return false;
        const names = JSON.parse(stdout).data.alerts.map(
          (alert: { labels: { alertname: string } }) => alert.labels.alertname,
        );
        return names.includes("StudCertificateEndsVerySoon") && !names.includes("StudDown");
      }, "the alert of a certificate that ends soon");
    },
  },
];

/** The shell's commands in docs/monitoring.md, and that of its HEALTHCHECK. */
function documented(): { readonly blocks: readonly string[]; readonly healthCheck: string } {
  const page = readFileSync(join(root, "docs", "monitoring.md"), "utf8");
  const blocks = [...page.matchAll(/^```sh\n([^]*?)\n```$/gm)].map(([, block]) => block!);
  const healthCheck = /^HEALTHCHECK CMD (.+)$/m.exec(page)?.[1];
  assert.ok(healthCheck);
  return { blocks, healthCheck };
}

/** One stud with a Unix socket that is well, and one with a token that can be broken. */
async function setting(context: Context, directory: string) {
  const [socket, token] = [join(directory, "admin.sock"), join(directory, "token")];
  writeFileSync(token, `${TOKEN}\n`, { mode: 0o600 });
  const { port } = await freeEndpoint();
  const healthy = await context.echo();
  await context.stud([`--admin=${socket}`, await certificate(directory, 60)], {
    backend: healthy.port,
  });
  const lost = await context.echo();
  const other = await context.stud(
    [
      ...[`--admin=127.0.0.1:${port}`, `--admin-token-file=${token}`],
      await certificate(directory, 5),
    ],
    { backend: lost.port },
  );
  const common = [
    ["/var/lib/prometheus/node-exporter", directory],
    ["/etc/stud/admin-token", token],
    ["127.0.0.1:9443", `127.0.0.1:${port}`],
  ] as const;
  const tcp = `--admin=127.0.0.1,${port} --admin-token-file=${token}`;
  return {
    program: context.target.command.map((word) => `'${word}'`).join(" "),
    options: { well: `--admin=${socket}`, broken: tcp },
    well: [
      ...common,
      [" --admin=/run/stud/admin.sock", ""],
      ["/run/stud/admin.sock", socket],
    ] as readonly (readonly [string, string])[],
    broken: [...common, [" --admin=/run/stud/admin.sock", ""]] as readonly (readonly [
      string,
      string,
    ])[],
    /** Its backend goes down; its certificate ends soon anyway. */
    async break() {
      await lost.close();
      const client = await openTls(other.frontend);
      client.on("error", () => {}).write("hello");
      await other.waitForLog(({ event }) => event === "backend-down", "the outage");
      client.destroy();
      const headers = ["--header", `Authorization: Bearer ${TOKEN}`];
      await until(async () => {
        const { stdout } = await run("curl", [
          ...["--silent", ...headers],
          `http://127.0.0.1:${port}/status`,
        ]);
        return stdout.includes('"backend-down"');
      }, "the outage in the status");
    },
    stop: () => other.stop(),
  };
}

/** Makes a certificate for localhost that is valid for some days; returns its file with the key. */
async function certificate(directory: string, days: number): Promise<string> {
  const [pem, key] = [join(directory, `${days}.pem`), join(directory, `${days}.key`)];
  const { code, stdout, stderr } = await run("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
    ...["-days", `${days}`, "-subj", "/CN=localhost", "-keyout", key],
    ...["-addext", "subjectAltName=DNS:localhost"],
  ]);
  assert.equal(code, 0, stderr);
  writeFileSync(pem, readFileSync(key, "utf8") + stdout, { mode: 0o600 });
  return pem;
}
