from glob import glob

from setuptools import setup

NAME = "diffusion_policy_inference"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    package_data={NAME: ["*.xml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="dp_hf maintainers",
    maintainer_email="maintainers@example.com",
    description="Drives an arm behind ROS 2 with a dp_hf diffusion policy, and records demonstrations.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            f"model_inference_node = {NAME}.model_inference_node:main",
            f"recorder_node = {NAME}.recorder_node:main",
        ]
    },
)
