"""Packages the custom prediction routine: `python setup.py sdist` makes the tarball, `pip install .` installs it.

What it is called and needs is in `pyproject.toml`.
"""

from setuptools import find_packages, setup

setup(
    license="Apache-2.0",
    packages=find_packages(include=["prediction_model", "prediction_model.*"]),
    package_data={
        "prediction_model": [
            "faces/*.npy",
            "engines/*.tflite",
            "training/*.npz",
            "training/*.zip",
            "identities/gallery/*/*",
        ]
    },
)
