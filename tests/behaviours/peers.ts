/** Third-party clients and servers. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, serve } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { accepting, curl, startHaproxy } from "../support/http.ts";

const LARGE = 64 * 1024 * 1024;
const GREETING = "hello from nginx\n";

export const peers: readonly Behaviour[] = [
  {
    name: "curl sends several HTTP/1.1 requests to nginx over one connection",
    needs: ["curl", "nginx"],
    async run(context) {
      const nginx = await startNginx(context);
      const stud = await context.stud([], { backend: nginx.endpoint });
      const url = `https://${endpointText(stud.frontend)}/greeting`;
      const { code, stdout, stderr } = await curl(context, [url, url, url]);
      assert.equal(code, 0, stderr);
      assert.equal(stdout, GREETING.repeat(3));
    },
  },
  {
    name: "curl downloads 64 MiB from nginx",
    needs: ["curl", "nginx"],
    async run(context) {
      const nginx = await startNginx(context);
      const content = large(nginx.directory);
      writeFileSync(join(nginx.directory, "large"), content.bytes);
      const stud = await context.stud([], { backend: nginx.endpoint });
      const file = join(nginx.directory, "received");
      const url = `https://${endpointText(stud.frontend)}/large`;
      const { code, stderr } = await curl(context, ["-o", file, url]);
      assert.equal(code, 0, stderr);
      assert.equal(hash(readFileSync(file)), content.hash);
    },
  },
  {
    name: "curl uploads 64 MiB to nginx",
    needs: ["curl", "nginx"],
    async run(context) {
      const nginx = await startNginx(context);
      const content = large(nginx.directory);
      const stud = await context.stud([], { backend: nginx.endpoint });
      const url = `https://${endpointText(stud.frontend)}/uploaded`;
      const { code, stderr } = await curl(context, ["-f", "-T", content.file, url]);
      assert.equal(code, 0, stderr);
      assert.equal(hash(readFileSync(join(nginx.directory, "uploaded"))), content.hash);
    },
  },
  ...(["-tls1_2", "-tls1_3"] as const).map((version): Behaviour => ({
    name: `openssl s_client ${version} receives nginx's answer and a close_notify`,
    needs: ["openssl", "nginx"],
    async run(context) {
      const nginx = await startNginx(context);
      const stud = await context.stud([], { backend: nginx.endpoint });
      const trust = ["-CAfile", context.certificates.ca, "-verify_return_error"];
      const { stdout, stderr } = await run("openssl", [
        "s_client",
        ...["-connect", endpointText(stud.frontend), "-servername", "localhost"],
        ...[version, "-ign_eof", ...trust],
      ], "GET /greeting HTTP/1.0\r\n\r\n");
      assert.ok(stdout.includes("HTTP/1.1 200 OK"), stdout + stderr);
      assert.ok(stdout.includes(GREETING));
      assert.match(stdout, /Verify return code: 0 \(ok\)/);
      assert.match(stdout, /^closed$/m);
      assert.doesNotMatch(stderr, /unexpected eof|errno/);
    },
  })),
  ...(["--write-proxy", "--write-proxy-v2"] as const).flatMap((option) =>
    [
      { name: `haproxy reads the IPv4 client's real address from ${option}`, from: "127.0.0.77" },
      { name: `haproxy reads the IPv6 client's real address from ${option}`, from: "::1" },
    ].map(({ name, from }): Behaviour => ({
      name,
      needs: ["curl", "haproxy"],
      async run(context) {
        const haproxy = await startHaproxy(context, ["src", "src_port", "dst", "dst_port"]);
        const frontend = await freeEndpoint(from === "::1" ? from : undefined);
        const stud = await context.stud([option], { backend: haproxy, frontend });
        const { code, stdout, stderr } = await curl(context, [
          ...["--interface", from, "-w", " %{local_port}"],
          `https://${endpointText(frontend)}/`,
        ]);
        assert.equal(code, 0, stderr);
        const [source, sourcePort, destination, destinationPort, localPort] = stdout.split(" ");
        assert.equal(source, from);
        assert.equal(sourcePort, localPort);
        assert.equal(destination, frontend.host);
        assert.equal(destinationPort, String(frontend.port));
        assert.deepEqual(stud.failures(), []);
      },
    }))
  ),
  ...(["--write-proxy", "--write-proxy-v2"] as const).map((option): Behaviour => ({
    name: `nginx reads the client's real address from ${option}`,
    needs: ["curl", "nginx"],
    async run(context) {
      const nginx = await startNginx(context, "proxy_protocol");
      const stud = await context.stud([option], { backend: nginx.endpoint });
      const url = `https://${endpointText(stud.frontend)}/address`;
      const { stdout, stderr } = await curl(context, ["--interface", "127.0.0.78", url]);
      assert.equal(stdout, "127.0.0.78", stderr);
    },
  })),
];

/** Starts nginx with a directory for downloads and uploads. */
async function startNginx(
  context: Context,
  listenOption: "" | "proxy_protocol" = "",
): Promise<{ endpoint: Endpoint; directory: string }> {
  const directory = mkdtempSync(join(context.certificates.directory, "nginx-"));
  chmodSync(directory, 0o777);
  const endpoint = await freeEndpoint();
  const config = join(directory, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${directory}/${kind};`).join(" ");
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${directory}/pid; error_log ${directory}/error.log;
    events {}
    http {
      access_log off; ${temporary}
      server {
        listen ${endpointText(endpoint)} ${listenOption};
        root ${directory};
        client_max_body_size 0;
        dav_methods PUT;
        location = /address { return 200 $proxy_protocol_addr; }
      }
    }`,
  );
  writeFileSync(join(directory, "greeting"), GREETING);
  const nginx = serve("nginx", ["-c", config, "-e", join(directory, "error.log")]);
  context.after(() => nginx.stop());
  await accepting(endpoint);
  return { endpoint, directory };
}

function large(directory: string): { bytes: Buffer; file: string; hash: string } {
  const bytes = randomBytes(LARGE);
  const file = join(directory, "sent");
  writeFileSync(file, bytes);
  return { bytes, file, hash: hash(bytes) };
}

function hash(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
