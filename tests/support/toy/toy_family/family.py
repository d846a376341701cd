"""What shared code asks of the product."""

from imperv.layers.reflectance import SCL
from imperv.tasks.delivery.cog import cog_form
from imperv.tasks.family import Family
from toy_family.catalogue import BANDS
from toy_family.tasks import TASKS

FAMILY = Family(
    name="toy",
    title="Green ground of a month",
    method="Example of a product",
    method_short="example",
    tasks=TASKS,
    form=cog_form("toy"),
    bands=(*BANDS, SCL),
    stages=("scenes", "features", "models", "layers"),
    features_first=lambda job: True,
)
