/**
 * `#ocsp` of builds without `capabilities.staples`: they refuse the options that lead here, and so
 * have no use for the library which reads OCSP responses.
 */
import type * as Present from "./present.ts";

export const runOcsp: typeof Present.runOcsp = refuse;
export const readResponseFile: typeof Present.readResponseFile = refuse;

function refuse(): never {
  throw new Error("this build staples no OCSP responses");
}
