import type { Weigher } from "./weigher.ts";

/**
 * More servers of images like this one are better: each property of its image counts the servers here that have it
 * with the same value, times its weight in IMAGE_PROPS_WEIGHT_SETTING, or all once where that is empty
 * (nova/scheduler/weights/image_props.py).
 */
export const ImagePropertiesWeigher: Weigher = {
  name: "ImagePropertiesWeigher",
  option: "image_props_weight_multiplier",
  multiplier: (config) => config.IMAGE_PROPS_WEIGHT_MULTIPLIER,
  ask({ image }, { IMAGE_PROPS_WEIGHT_SETTING }) {
    const ratios = new Map(IMAGE_PROPS_WEIGHT_SETTING.map(({ name, ratio }) => [name, ratio]));
    const counted = Object.entries(image.properties).flatMap(([name, value]) => {
      const ratio = ratios.size === 0 ? 1 : (ratios.get(name) ?? 0);
      return ratio === 0 ? [] : [{ key: `${name}=${value}`, ratio }];
    });
    if (counted.length === 0) return null;
    return ({ image_properties }) =>
      counted.reduce((sum, { key, ratio }) => sum + ratio * (image_properties[key] ?? 0), 0);
  },
};
