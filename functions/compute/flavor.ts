/** nova: objects.Flavor. `ram` and `swap` in MiB, `disk` and `ephemeral` in GiB. A server keeps its own copy. */
export type Flavor = {
  flavorid: string;
  name: string;
  vcpus: number;
  ram: number;
  disk: number;
  ephemeral: number;
  swap: number;
  rxtx_factor: number;
  is_public: boolean;
  disabled: boolean;
  description: string | null;
  extra_specs: Record<string, string>;
};
