/** A machine as it was laid out when the page was built. Sizes are pixels; ids are paths of states. */
export type Picture = {
  readonly width: number;
  readonly height: number;
  /** Outer ones before those within them. */
  readonly states: readonly {
    readonly id: string;
    readonly key: string;
    readonly type: string;
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
    readonly isBox: boolean;
  }[];
  readonly edges: readonly {
    readonly from: string;
    readonly to: string;
    /** As SVG writes it. */
    readonly path: string;
    /** The events, with their guards. */
    readonly ways: readonly string[];
  }[];
};
