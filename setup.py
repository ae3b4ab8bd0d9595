"""The compiled part of the build: one cffi module, tagged for the stable ABI. All else is in pyproject.toml."""

import sysconfig

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel

# Free-threaded CPython has no stable ABI yet: there the wheel is for that version alone.
LIMITED = {} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"py_limited_api": "cp311"}


class AbiWheel(bdist_wheel):
    """A wheel tagged cp311-abi3."""

    def finalize_options(self) -> None:
        """Set the tag before the name is made."""
        for name, value in LIMITED.items():
            setattr(self, name, value)
        super().finalize_options()


setup(cffi_modules=["csrc/build_ffi.py:ffi"], cmdclass={"bdist_wheel": AbiWheel}, zip_safe=False)
