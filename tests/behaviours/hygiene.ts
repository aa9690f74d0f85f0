/** The default TLS settings as a scanner sees them; `npm run test:tls` runs a second scanner. */
import assert from "node:assert/strict";
import type { Behaviour } from "../support/context.ts";
import { sslscan } from "../support/scanners.ts";
import { scanPoints } from "../support/tls_points.ts";

export const hygiene: readonly Behaviour[] = [
  {
    name: "sslscan finds TLS 1.2 and 1.3, forward secrecy, strong ciphers and no weakness",
    needs: ["sslscan"],
    waits: true,
    async run(context) {
      const { target, certificates } = context;
      const files = [certificates.localhost, ...target.dualCertificates ? [certificates.rsa] : []];
      const stud = await context.stud(files, { backend: (await context.echo()).port });
      const scan = await sslscan(stud.frontend);
      for (const [promise, judge] of Object.entries(scanPoints)) {
        const { found, isGood } = judge(scan, target);
        assert.ok(isGood, `${promise}: ${found}`);
      }
    },
  },
];
