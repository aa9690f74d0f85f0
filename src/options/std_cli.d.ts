/** What is used of `@std/cli`, whose npm build ships no types. */
declare module "@std/cli/cli/parse_args.js" {
  export interface ParseOptions {
    /** Names whose values stay text; `_` stands for the positionals. */
    readonly string?: readonly string[];
    /** Names that may come more than once; their values make an array, in order. */
    readonly collect?: readonly string[];
  }

  export function parseArgs(
    args: readonly string[],
    options?: ParseOptions,
  ): { _: string[]; [name: string]: string[] };
}
