/** The source addresses of connections to the backend. */
import assert from "node:assert/strict";
import { needs } from "../support/capability.ts";
import type { Behaviour } from "../support/context.ts";

export const sources: readonly Behaviour[] = [
  {
    name: "the backend is connected from each --backend-source in turn",
    async run(context) {
      const backend = await context.backend();
      const option = "--backend-source=127.0.0.2,127.0.0.3";
      await needs(context, "backendSource", option, async (stud) => {
        const seen: (string | undefined)[] = [];
        for (let i = 0; i < 4; i++) {
          await context.tls(stud.frontend);
          seen.push((await backend.accept()).remoteAddress);
        }
        assert.deepEqual(seen.toSorted(), ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"]);
      }, { backend: backend.port });
    },
  },
];
