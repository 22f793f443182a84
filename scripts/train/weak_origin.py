"""Weak labels for the two classes that no data set here separates: publicly known nationality of public figures in LFW.

UTKFace's class Other stands for Hispanic, Latino, Middle Eastern and more. These lists say from which region the public
office or nationality of a person is; they say nothing certain about looks. They only ever decide how the probability of
Other is divided, and the model card states how well that works.
"""

from __future__ import annotations

LATINO, MIDDLE_EASTERN, UNKNOWN = "latino hispanic", "middle eastern", ""

_LATINO = """
Hugo_Chavez Luiz_Inacio_Lula_da_Silva Alejandro_Toledo Nestor_Kirchner Alvaro_Uribe Vicente_Fox Guillermo_Coria Ricardo_Lagos
Jennifer_Lopez Carlos_Menem Fidel_Castro Eduardo_Duhalde David_Nalbandian Salma_Hayek Lucio_Gutierrez Rubens_Barrichello
Gonzalo_Sanchez_de_Lozada Nicanor_Duarte_Frutos Jose_Serra Fernando_Gonzalez Juan_Pablo_Montoya Cesar_Gaviria Antonio_Palocci
Fernando_Henrique_Cardoso Oscar_De_La_Hoya Justine_Pasek Ana_Guevara Amelia_Vega Ricardo_Sanchez Marco_Antonio_Barrera Luis_Horna
Luis_Ernesto_Derbez_Bautista Arminio_Fraga Vicente_Fernandez Pedro_Malan Oswaldo_Paya Mireya_Moscoso Maria_Soledad_Alvear_Valenzuela
Marcelo_Rios Luis_Gonzalez_Macchi George_Lopez Enrique_Bolanos Emanuel_Ginobili Cruz_Bustamante Ciro_Gomes Arnoldo_Aleman
Sila_Calderon Ronaldo_Luis_Nazario_de_Lima Roberto_Carlos Rafael_Ramirez Martha_Lucia_Ramirez Hipolito_Mejia Guillermo_Canas
Gloria_Trevi Gilberto_Rodriguez_Orejuela Francisco_Flores Fernando_Vargas Felipe_Perez_Roque Daisy_Fuentes Carlos_Vives
Augustin_Calleri Alvaro_Silva_Calderon Abel_Pacheco Vladimiro_Montesinos Sebastian_Saja Roberto_Marinho Mariangel_Ruiz_Torrealba
Mariana_Pollack Marcelo_Salas Marcelo_Ebrard Lino_Oviedo Juanes Juan_Manuel_Marquez Juan_Ignacio_Chela Jose_Sarney Jorge_Batlle
Johnny_Tapia Javier_Weber Hector_Babenco Gustavo_Kuerten Gian_Marco Erik_Morales Eileen_Coparropa Zico
"""
_MIDDLE_EASTERN = """
Recep_Tayyip_Erdogan Mahmoud_Abbas Saddam_Hussein Abdullah_Gul Taha_Yassin_Ramadan Mohammed_Al-Douri Mohammad_Khatami Hosni_Mubarak
Yasser_Arafat Naji_Sabri Mohamed_ElBaradei Ali_Naimi Tariq_Aziz Kamal_Kharrazi Bulent_Ecevit Queen_Rania Muhammad_Saeed_al-Sahhaf
King_Abdullah_II Ahmed_Chalabi Yasar_Yakis Osama_bin_Laden Omar_Sharif Mikhail_Wehbe Fayssal_Mekdad Bashar_Assad Azra_Akin
Amer_al-Saadi Abdullah Nabil_Shaath Mohammed_Baqir_al-Hakim Masum_Turker Kemal_Dervis Intisar_Ajouri Farouk_al-Sharaa
Crown_Prince_Abdullah Abdullatif_Sener Ahmet_Necdet_Sezer Ahmed_Qureia Amr_Moussa Emile_Lahoud Rafiq_Hariri Saud_al-Faisal
Prince_Saud_al-Faisal Shirin_Ebadi Hassan_Nasrallah Mohammad_Al_Hamad Mohammed_Dahlan Mohammed_Abulhasan Marwan_Muasher Ahmed_Maher
Ibrahim_Jaafari Jalal_Talabani Massoud_Barzani Adnan_Pachachi Yasser_Abed_Rabbo Saeb_Erekat Ahmad_Masood Barham_Saleh Ismail_Cem
Mesut_Yilmaz Deniz_Baykal Hamad_Bin_Isa_al-Khalifa Ali_Khamenei Hassan_Rohani Farouk_Kaddoumi Nasser_al-Kidwa
"""
_ORIGINS = {name: LATINO for name in _LATINO.split()} | {name: MIDDLE_EASTERN for name in _MIDDLE_EASTERN.split()}


def origin_of(name: str) -> str:
    """LATINO, MIDDLE_EASTERN or UNKNOWN for a person of LFW."""
    return _ORIGINS.get(name, UNKNOWN)
