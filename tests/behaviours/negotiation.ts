/** What a handshake negotiates besides version and cipher. */
import assert from "node:assert/strict";
import { needs, refuses } from "../support/capability.ts";
import { run } from "../support/commands.ts";
import type { Behaviour } from "../support/context.ts";
import { endpointText } from "../support/endpoints.ts";
import { runStud } from "../support/stud.ts";
import { until } from "../support/until.ts";

export const negotiation: readonly Behaviour[] = [
  {
    name: "--alpn-protos: the server's preference wins, and is sent to the backend",
    async run(context) {
      const stud = await context.stud(["--alpn-protos=h2, http/1.1"], {
        backend: (await context.echo()).port,
      });
      for (const offered of [["http/1.1", "h2"], ["h2"]]) {
        const client = await context.tls(stud.frontend, { ALPNProtocols: offered });
        assert.equal(client.alpnProtocol, "h2");
      }
      const old = await context.tls(stud.frontend, { ALPNProtocols: ["http/1.1"] });
      assert.equal(old.alpnProtocol, "http/1.1");
    },
  },
  {
    name: "a client without ALPN is served, one without a common protocol gets the alert",
    needs: ["openssl"],
    async run(context) {
      const stud = await context.stud(["--alpn-protos=h2"], {
        backend: (await context.echo()).port,
      });
      assert.equal((await context.tls(stud.frontend)).alpnProtocol, false);
      const where = ["-connect", endpointText(stud.frontend), "-alpn", "spdy/1"];
      const { stderr } = await run("openssl", ["s_client", ...where]);
      assert.match(stderr, /alert no application protocol/);
    },
  },
  {
    name: "ALPN is negotiated after SIGHUP as before, with and without SNI",
    async run(context) {
      const words = ["--alpn-protos=h2,http/1.1", context.certificates.a];
      const files = [[], [context.certificates.localhost]];
      await Promise.all(files.map(async (more) => {
        const stud = await context.stud([...words, ...more], {
          backend: (await context.echo()).port,
        });
        for (let reloads = 0; reloads < 3; reloads++) {
          for (const servername of ["", "a.example", "localhost"]) {
            const offer = { servername, ALPNProtocols: ["http/1.1", "h2"] };
            assert.equal((await context.tls(stud.frontend, offer)).alpnProtocol, "h2", servername);
          }
          stud.signal("SIGHUP");
          await until(() => stud.logged("reloaded").length > reloads, "the reload");
        }
      }));
    },
  },
  {
    name: "an empty name in --alpn-protos is refused",
    async run(context) {
      const words = ["--alpn-protos=h2,,http/1.1", context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      assert.match(stderr, /^stud: --alpn-protos[^\n]*\n$/);
    },
  },
  {
    name: "--ciphersuites selects the cipher suites of TLS 1.3",
    run: (context) =>
      needs(context, "ciphersuites", "--ciphersuites=TLS_AES_128_GCM_SHA256", async (stud) => {
        const client = await context.tls(stud.frontend);
        assert.equal(client.getCipher().name, "TLS_AES_128_GCM_SHA256");
        const other = { ciphers: "TLS_AES_256_GCM_SHA384", minVersion: "TLSv1.3" } as const;
        await assert.rejects(context.tls(stud.frontend, other));
      }),
  },
  {
    name: "--ecdh-curve selects the groups",
    run: (context) =>
      needs(context, "curves", "--ecdh-curve=P-384", async (stud) => {
        await context.tls(stud.frontend, { ecdhCurve: "P-256:P-384" });
        await assert.rejects(context.tls(stud.frontend, { ecdhCurve: "X25519" }));
      }),
  },
  {
    name: "the error for an unknown group or cipher suite names it",
    async run(context) {
      for (
        const [ability, option] of [["curves", "--ecdh-curve"], [
          "ciphersuites",
          "--ciphersuites",
        ]] as const
      ) {
        const words = [`${option}=NO_SUCH_THING`];
        if (!context.target[ability]) {
          await refuses(context, ability, words);
          continue;
        }
        const { code, stderr } = await runStud(context.target, [
          ...words,
          context.certificates.localhost,
        ]);
        assert.equal(code, 1);
        assert.match(stderr, new RegExp(`^stud: ${option}[^\\n]*\\n$`));
      }
    },
  },
  {
    name: "post-quantum key exchange is offered by default",
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      const client = await context.tls(stud.frontend, { ecdhCurve: "X25519MLKEM768" });
      assert.equal(client.getProtocol(), "TLSv1.3");
    },
  },
];
