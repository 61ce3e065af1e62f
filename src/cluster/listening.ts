/** Where a worker listens. Default: a free port of the loopback. */
export type ListenOptions = { readonly port?: number | undefined; readonly host?: string | undefined };

/** Where a worker listens: `url` is what is registered with the engine, or stands behind the load balancer. */
export type Listening = { readonly url: string; readonly host: string; readonly port: number };
