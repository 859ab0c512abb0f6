/** What operators say by aggregates' metadata of who and what may be on their hosts. */
import { listedOf, tenantsOf, valuesOf } from "../aggregate-values.ts";
import { matches } from "../extra-specs-ops.ts";
import type { Check, Filter } from "./filter.ts";

const SCOPE = "aggregate_instance_extra_specs";

/** The flavor's extra specs, scoped or without a scope, hold of the aggregates' metadata (nova/scheduler/filters/aggregate_instance_extra_specs.py). */
export const AggregateInstanceExtraSpecsFilter: Filter = {
  name: "AggregateInstanceExtraSpecsFilter",
  ask({ flavor }) {
    const asked = Object.entries(flavor.extra_specs).flatMap(([key, wanted]) => {
      const [scope, ...rest] = key.split(":");
      if (rest.length === 0) return [{ key, wanted }];
      return scope === SCOPE ? [{ key: rest.join(":"), wanted }] : [];
    });
    if (asked.length === 0) return null;
    return (host) => {
      const missed = asked.find(({ key, wanted }) => !listedOf(host, key).some((value) => matches(value, wanted)));
      return missed ? `none of its aggregates has ${missed.key} ${missed.wanted}` : null;
    };
  },
};

/** Each key of its aggregates that the image has as a property has the image's value (nova/scheduler/filters/aggregate_image_properties_isolation.py). */
export const AggregateImagePropertiesIsolation: Filter = {
  name: "AggregateImagePropertiesIsolation",
  run_on_rebuild: true,
  ask({ image }, config) {
    const prefix = config.AGGREGATE_IMAGE_PROPERTIES_ISOLATION_NAMESPACE;
    const begins = prefix === "" ? "" : prefix + config.AGGREGATE_IMAGE_PROPERTIES_ISOLATION_SEPARATOR;
    const properties = Object.entries(image.properties).filter(([name]) => name.startsWith(begins));
    if (properties.length === 0) return null;
    return (host) => {
      const wrong = properties.find(([name, value]) => {
        const values = listedOf(host, name);
        return values.length > 0 && !values.includes(value);
      });
      return wrong ? `its aggregates are for other images than those of ${wrong[0]} ${wrong[1]}` : null;
    };
  },
};

/** A host of an aggregate that is for some projects takes no others (nova/scheduler/filters/aggregate_multitenancy_isolation.py). */
export const AggregateMultiTenancyIsolation: Filter = {
  name: "AggregateMultiTenancyIsolation",
  ask:
    ({ project_id }): Check =>
    (host) => {
      if (host.aggregates.length === 0) return null;
      const tenants = tenantsOf(host.aggregates);
      return tenants.length === 0 || tenants.includes(project_id) ? null : "its aggregate is for other projects";
    },
};

/** A host of an aggregate that lists flavors by name takes no others (nova/scheduler/filters/type_filter.py). */
export const AggregateTypeAffinityFilter: Filter = {
  name: "AggregateTypeAffinityFilter",
  ask:
    ({ flavor }): Check =>
    (host) => {
      const lists = valuesOf(host, "instance_type").map((value) => value.split(",").map((one) => one.trim()));
      if (lists.length === 0 || lists.some((list) => list.includes(flavor.name))) return null;
      return `its aggregates are for the flavors ${lists.flat().join(", ").slice(0, 64)}`;
    },
};
