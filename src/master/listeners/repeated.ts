/** Addresses that two frontends have. */
import { isDeepStrictEqual } from "node:util";
import { formatAddress, formatEndpoint } from "../../options/address.ts";
import type { FrontendConfig } from "../../options/config.ts";
import type { Wanted } from "./listeners.ts";

/** An address to listen on, with the index of its frontend. */
export type FrontendListener = Wanted & { readonly frontend: number };

/** The listeners without repetitions, and one line for each repetition. */
interface Distinct {
  readonly listeners: readonly FrontendListener[];
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * Removes an address that a second frontend with the same settings has under another name, such as
 * `localhost` and 127.0.0.1, or `*` and `[::]`. With other settings it is a problem: which of them a
 * client would get is undefined.
 */
export function distinct(
  all: readonly FrontendListener[],
  frontends: readonly FrontendConfig[],
): Distinct {
  const found = new Map<string, FrontendListener>();
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const listener of all) {
    const text = formatEndpoint(listener.endpoint);
    const first = found.get(text);
    found.set(
      text,
      first ? { ...first, dualStack: first.dualStack || listener.dualStack } : listener,
    );
    if (!first || first.frontend === listener.frontend) continue;
    const [{ listen, ...settings }, { listen: other, ...others }] = [
      frontends[first.frontend]!,
      frontends[listener.frontend]!,
    ];
    const names = [formatAddress(listen), formatAddress(other)] as const;
    if (isDeepStrictEqual(settings, others)) {
      warnings.push(`--frontend: ${names[0]} and ${names[1]} are both ${text}; one is enough`);
    } else {
      problems.push(
        `--frontend: ${names[0]} and ${names[1]} are both ${text}, with different settings; ` +
          "remove one of them",
      );
    }
  }
  return { listeners: [...found.values()], problems, warnings };
}
